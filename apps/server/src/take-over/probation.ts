import type { Fd } from '@x/fdpass'

/** The time after a take-over in which the old process can still go on in place of the new one. */
export class Probation {
  /** The new process. */
  readonly pid: number
  /** Where the new process notes how far it has got with each connection. */
  readonly ledger: Fd
  /** Why it has come to nothing, where that is known before its end. */
  #reason: string | undefined
  readonly #late: NodeJS.Timeout

  /** `limit`: milliseconds until the new process has to have said that it serves. One that has not is killed. */
  constructor(pid: number, ledger: Fd, limit: number) {
    this.pid = pid
    this.ledger = ledger
    this.#late = setTimeout(() => {
      this.condemn('the new process did not say in time that it serves')
    }, limit)
    this.#late.unref()
  }

  get reason(): string {
    return this.#reason ?? 'the new process has ended in its probation'
  }

  /** Only of a dead process is it certain how far it has got. Its end is told by the call that watches it. */
  condemn(reason: string): void {
    this.#reason ??= reason
    signal(this.pid, 'SIGKILL')
  }

  /** Why it ends, which it does by itself. */
  explain(reason: string): void {
    this.#reason ??= reason
  }

  /** Tells the new process what this one was told. */
  passOn(name: 'SIGTERM' | 'SIGQUIT' | 'SIGHUP'): void {
    signal(this.pid, name)
  }

  end(): void {
    clearTimeout(this.#late)
    this.ledger.close()
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended by itself meanwhile.
  }
}
