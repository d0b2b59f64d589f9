import type { NativeHandle } from './binding.ts'
import { KEventError } from './errors.ts'

const EBADF = -9

/**
 * A descriptor whose owner is whoever holds this: it is closed once, and its knotes are removed before. See
 * {@link KQueue.adopt}.
 */
export class AdoptedDescriptor {
  readonly #native: NativeHandle
  #descriptor: number

  /** @internal */
  constructor(native: NativeHandle, descriptor: number) {
    this.#native = native
    this.#descriptor = descriptor
  }

  /** Its number, borrowed: the `ident` of its knotes. It is -1 once it was closed or detached. */
  get descriptor(): number {
    return this.#descriptor
  }

  /**
   * Removes its knotes, then closes it. Closing twice is fine. Throws KEventError EBADF when somebody else has closed
   * it, or when the KQueue that adopted it was released before: then it is open, and `detach` still gives it away.
   */
  close(): void {
    if (this.#descriptor < 0) return
    if (this.#native.descriptor < 0) throw new KEventError(EBADF, 'close')
    const error = this.#native.closeDescriptor(this.#take())
    if (error < 0) throw new KEventError(error, 'close')
  }

  /**
   * Removes its knotes and leaves it open, for another owner: the caller, from now on. Returns its number. Throws
   * KEventError EBADF when it was closed or detached before.
   */
  detach(): number {
    if (this.#descriptor < 0) throw new KEventError(EBADF, 'detach')
    const descriptor = this.#take()
    this.#native.detach(descriptor)
    return descriptor
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #take(): number {
    const descriptor = this.#descriptor
    this.#descriptor = -1
    return descriptor
  }
}
