import type { Generation } from './generation.ts'

/** Waits until every member has prepared one generation, or one has refused, or nobody wants it any more. */
export class Preparation<Spec> {
  /** The function that wants it: mount or replace. */
  readonly syscall: string
  readonly generation: Generation<Spec>
  /** Resolves when all have prepared; rejects with the first refusal, or with the reason to cancel. */
  readonly done: Promise<void>
  /** Resolves when the mount point is free for the next one, whatever the outcome. */
  readonly finished: Promise<void>
  readonly #waiting = new Set<number>()
  #resolve!: () => void
  #reject!: (error: Error) => void
  #finish!: () => void
  #cancelled: Error | undefined = undefined
  #allAsked = false
  #over = false

  constructor(syscall: string, generation: Generation<Spec>) {
    this.syscall = syscall
    this.generation = generation
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Its waiter may have given up at a deadline.
    this.done.catch(() => undefined)
    this.finished = new Promise((resolve) => {
      this.#finish = resolve
    })
  }

  /** Everyone there is has been asked; who joins from now on has to be asked on its own. */
  get asked(): boolean {
    return this.#allAsked
  }

  /** It has come to its end, whatever that was. */
  get over(): boolean {
    return this.#over
  }

  get waiting(): readonly number[] {
    return [...this.#waiting]
  }

  /** Set by cancel(), even when that came after all had prepared. */
  get cancelled(): Error | undefined {
    return this.#cancelled
  }

  ask(member: number): void {
    this.#waiting.add(member)
  }

  /** Everyone there is has been asked: from now on, no one waited for means done. */
  allAsked(): void {
    this.#allAsked = true
    this.#check()
  }

  /** The member has prepared, or will not be there to serve. */
  without(member: number): void {
    this.#waiting.delete(member)
    this.#check()
  }

  cancel(error: Error): void {
    this.#cancelled ??= error
    this.#reject(error)
  }

  finish(): void {
    this.#over = true
    this.#finish()
  }

  #check(): void {
    if (this.#allAsked && this.#waiting.size === 0) this.#resolve()
  }
}
