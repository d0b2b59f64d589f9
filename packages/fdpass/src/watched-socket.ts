import { binding } from './binding.ts'
import { EBADF, EBUSY, ETIMEDOUT } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { WaitOptions } from './options.ts'
import { Owner } from './ownership.ts'
import { KeepAlive, Watch } from './readiness.ts'
import { mayGoOn, nextTurn } from './turn.ts'
import { WaitQueue } from './wait-queue.ts'

const POLLIN = 0x1

/**
 * A socket of this thread that something comes from, messages or connections: calls that take it are served in turn, in
 * the event loop or by the thread that blocks.
 */
export abstract class WatchedSocket extends Owner implements Disposable, AsyncDisposable {
  protected readonly watch: Watch
  /** Calls that wait for what comes. */
  protected readonly takers: WaitQueue = new WaitQueue()
  readonly #incoming: number
  readonly #keepAlive = new KeepAlive()
  /** Whether what comes is looked for in the next turn, and need not be told of until then. */
  #looksAgain = false
  #descriptor: number

  /** `incoming` are the epoll events that tell of something to take. */
  protected constructor(descriptor: number, incoming: number) {
    super()
    this.#descriptor = descriptor
    this.#incoming = incoming
    this.watch = new Watch(descriptor, (events) => {
      this.ready(events)
    })
    this.begin(0)
  }

  /** Its number, borrowed; -1 once it was closed or taken. */
  get fd(): number {
    return this.#descriptor
  }

  /** Whether a wait keeps the process alive: yes, unless `unref` is called. */
  ref(): this {
    this.#keepAlive.referenced = true
    return this
  }

  unref(): this {
    this.#keepAlive.referenced = false
    return this
  }

  /** Closes it. Calls that wait fail with EBADF. Closing twice is fine. */
  abstract close(): void

  [Symbol.dispose](): void {
    this.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  protected override get held(): readonly number[] {
    return this.#descriptor < 0 ? [] : [this.#descriptor]
  }

  /** Its number. Throws FdPassError EBADF once it was closed or taken. */
  protected open(syscall: string): number {
    if (this.#descriptor < 0) throw new FdPassError(EBADF, syscall)
    return this.#descriptor
  }

  /** Forgets the number, which somebody else closes from now on. */
  protected letGo(): void {
    this.watch.set(0)
    this.#descriptor = -1
    this.finish()
  }

  /** What is there, or what comes; `attempt` says undefined as long as there is nothing. The caller has checked all. */
  protected takeInTurn<T>(attempt: () => T | undefined, options: WaitOptions, syscall: string): Promise<T> {
    const first = this.takers.length === 0
    if (first && (options.timeout === 0 || mayGoOn())) {
      const taken = attempt()
      if (taken !== undefined) return Promise.resolve(taken)
    } else if (first) {
      this.#lookAgain()
    }
    if (options.timeout === 0) throw new FdPassError(ETIMEDOUT, syscall)
    // It can fail, and must not when somebody waits already.
    if (!this.#looksAgain) this.watch.set(this.watch.events | this.#incoming)
    const waiting = this.takers.wait(attempt, options, syscall, () => {
      this.update()
    })
    this.update()
    return waiting
  }

  /** The same, blocking the thread. Throws FdPassError EBUSY while a call waits in the event loop. */
  protected takeNow<T>(attempt: () => T | undefined, timeout: number | undefined, syscall: string): T {
    const descriptor = this.open(syscall)
    if (this.takers.length > 0) throw new FdPassError(EBUSY, syscall)
    const taken = attempt()
    if (taken !== undefined) return taken
    const deadline = performance.now() + (timeout ?? Infinity)
    for (;;) {
      const left = deadline - performance.now()
      if (left <= 0) throw new FdPassError(ETIMEDOUT, syscall)
      const ready = binding.wait(descriptor, POLLIN, Number.isFinite(left) ? left : -1)
      if (ready < 0) throw new FdPassError(ready, 'poll')
      const come = attempt()
      if (come !== undefined) return come
    }
  }

  /** The event loop tells of these events. */
  protected abstract ready(events: number): void

  /** Something may have come. An edge that finds nobody ends the watch for it. */
  protected serveTakers(): void {
    if (this.takers.length === 0) this.watch.set(this.watch.events & ~this.#incoming)
    else this.takers.run()
  }

  /** Epoll events that somebody waits for. */
  protected get wanted(): number {
    return this.takers.length > 0 ? this.#incoming : 0
  }

  /** Watches for what somebody waits for, and keeps the process alive for as long. */
  protected update(): void {
    const { wanted } = this
    const told = this.#looksAgain ? wanted & ~this.#incoming : wanted
    if (this.#descriptor >= 0) this.watch.set(this.watch.events | told)
    this.#keepAlive.waits = wanted !== 0
  }

  /**
   * More came in this turn than is given in one, and the next will most likely find more. To be told of each would cost
   * its sender: the kernel walks through two epoll instances for every message.
   */
  #lookAgain(): void {
    if (this.#looksAgain) return
    this.watch.set(this.watch.events & ~this.#incoming)
    this.#looksAgain = true
    nextTurn(() => {
      this.#looksAgain = false
      this.takers.run()
      try {
        // What came since is told of at once.
        this.update()
      } catch (error) {
        this.takers.fail(error)
      }
    })
  }
}
