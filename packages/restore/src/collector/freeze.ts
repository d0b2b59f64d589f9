import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Fd, pidfdOpen } from '@x/fdpass'
import { RestoreError, type Problem } from '../errors.ts'
import { binding } from './binding.ts'
import { ESRCH, textOf } from './errno.ts'
import type { Settings } from './options.ts'
import { isDead, statusOf, threadsOf } from './process-status.ts'
import { Trees } from './trees.ts'

/** How often a process is looked at until it stands: /proc tells a stop to nobody but parents and tracers. */
const lookMilliseconds = 1

const { SIGSTOP, SIGCONT } = constants.signals

const stands = (pid: number, task?: number): boolean => {
  const state = statusOf(pid, task)?.state
  return state === undefined || 'TtZX'.includes(state)
}

function allStand(pid: number): boolean {
  try {
    return threadsOf(pid).every((task) => stands(pid, task))
  } catch {
    return true // it has ended
  }
}

/**
 * Trees that stand still, and the pidfds of their members. What it has stopped goes on when it is disposed of; what
 * stood before stays so.
 */
export class Frozen implements Disposable {
  trees: Trees
  readonly pidfds: Map<number, Fd> = new Map<number, Fd>()
  readonly #stopped: Fd[] = []
  readonly #stoodBefore = new Set<number>()

  private constructor(trees: Trees) {
    this.trees = trees
  }

  /** Throws RestoreError with all that is wrong with the named processes. */
  static async from(pids: readonly number[], settings: Settings): Promise<Frozen> {
    const frozen = new Frozen(new Trees(pids))
    try {
      await frozen.#settle(pids, settings)
      return frozen
    } catch (error) {
      frozen[Symbol.dispose]()
      throw error
    }
  }

  [Symbol.dispose](): void {
    for (const pidfd of this.#stopped) binding.signal(pidfd.fd, SIGCONT)
    for (const pidfd of this.pidfds.values()) pidfd.close()
    this.#stopped.length = 0
    this.pidfds.clear()
  }

  /** Whether it stood before it was looked at. */
  wasStopped(pid: number): boolean {
    return this.#stoodBefore.has(pid)
  }

  // A process may have children until it stands: the trees are settled when a look finds nobody new.
  async #settle(pids: readonly number[], settings: Settings): Promise<void> {
    for (;;) {
      settings.signal?.throwIfAborted()
      if (this.trees.problems.length > 0) throw new RestoreError(this.trees.problems)
      const fresh = this.trees.members.filter((status) => !this.pidfds.has(status.pid) && !isDead(status))
      if (fresh.length === 0) return
      for (const { pid, state } of fresh) {
        this.pidfds.set(pid, open(pid))
        if (state === 'T') this.#stoodBefore.add(pid)
      }
      if (settings.freeze)
        await this.#stop(
          fresh.map(({ pid }) => pid),
          settings,
        )
      this.trees = new Trees(pids)
    }
  }

  async #stop(pids: readonly number[], { stopTimeout, signal }: Settings): Promise<void> {
    for (const pid of pids) this.#send(pid)
    const deadline = performance.now() + stopTimeout
    for (let waiting = pids; ;) {
      waiting = waiting.filter((pid) => !allStand(pid))
      if (waiting.length === 0) return
      if (performance.now() > deadline) throw new RestoreError(waiting.map(stays))
      await sleep(lookMilliseconds)
      signal?.throwIfAborted()
    }
  }

  #send(pid: number): void {
    const pidfd = this.pidfds.get(pid)
    // One that is being stopped by somebody else stands soon, and stays so.
    if (pidfd === undefined || this.#stoodBefore.has(pid) || allStand(pid)) return
    const error = binding.signal(pidfd.fd, SIGSTOP)
    if (error === 0) this.#stopped.push(pidfd)
    else if (error !== ESRCH) {
      const message = `process ${pid} cannot be stopped: ${textOf(error)}`
      throw new RestoreError([{ reason: 'not-permitted', pid, message }], {
        errno: error,
        syscall: 'pidfd_send_signal',
      })
    }
  }
}

function open(pid: number): Fd {
  try {
    return pidfdOpen(pid)
  } catch (cause) {
    throw new RestoreError([{ reason: 'no-process', pid, message: `process ${pid} has ended` }], { cause })
  }
}

const stays = (pid: number): Problem => ({
  reason: 'not-stopped',
  pid,
  message: `process ${pid} does not stop: it waits in the kernel; try again, or collect with stop: 'none'`,
})
