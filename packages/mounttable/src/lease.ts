import type { Entry } from './entry.ts'
import { MountTableError } from './errors.ts'
import { inspectAsText } from './inspection.ts'
import type { Mount } from './mount.ts'

/**
 * A reference to one generation of a mount. As long as it is held, what it leads to is not cleaned up. Who looks
 * up releases, in the same thread, exactly once.
 */
export class Lease<Handler, Spec = unknown> {
  readonly #entry: Entry<Spec, Handler>
  readonly #path: string
  #released = false

  static {
    inspectAsText(this.prototype)
  }

  /** @internal */
  constructor(entry: Entry<Spec, Handler>, path: string) {
    this.#entry = entry
    this.#path = path
  }

  /** What this thread's `prepare` made of the mount. */
  get handler(): Handler {
    // An entry is published only after prepare has settled, so this is what it returned.
    return this.#entry.handler as Handler
  }

  get mount(): Mount<Spec> {
    return this.#entry.mount
  }

  get prefix(): string {
    return this.#entry.mount.prefix
  }

  /**
   * What follows the prefix in the path, without the query: empty, or with a slash at its start. A path that was sent
   * in canonical form stays as it is; any other is in canonical form here.
   */
  get rest(): string {
    const query = this.#path.indexOf('?')
    const prefix = this.#entry.mount.prefix
    return this.#path.slice(prefix === '/' ? 0 : prefix.length, query === -1 ? undefined : query)
  }

  /** Aborted when the control thread no longer waits for this lease (option `force`). */
  get signal(): AbortSignal {
    return this.#entry.signal
  }

  get released(): boolean {
    return this.#released
  }

  /** @throws MountTableError ERR_LEASE_RELEASED when it was released before; the count is not changed then. */
  release(): void {
    if (this.#released) {
      throw new MountTableError('ERR_LEASE_RELEASED', 'release', 'this lease was released before')
    }
    this.#released = true
    this.#entry.owner.release(this.#entry)
  }

  /** Releases if that has not happened yet. */
  [Symbol.dispose](): void {
    if (!this.#released) this.release()
  }

  toString(): string {
    return `Lease ${String(this.#entry)}${this.#released ? ', released' : ''}`
  }
}
