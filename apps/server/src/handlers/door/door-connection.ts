import { openDoor } from '@x/doors'
import type { DoorClient } from '@x/doors'
import { codeOf } from '../../errors.ts'

/** What a caller can tell its client. */
export type DoorFailure = 'unserved' | 'gone' | 'late' | 'large' | 'refused' | 'abandoned'

/** Why there is no reply. */
export class DoorCallError extends Error {
  readonly failure: DoorFailure

  constructor(failure: DoorFailure, cause: unknown) {
    super(cause instanceof Error ? cause.message : failure, { cause })
    this.name = 'DoorCallError'
    this.failure = failure
  }
}

/** Of a door that nobody serves under its name. */
const UNSERVED: ReadonlySet<string> = new Set(['ENOENT', 'EBADF'])

/** A door by its name, opened when it is needed and again when its server has gone. One for each thread and mount. */
export class DoorConnection {
  readonly #path: string
  readonly #timeout: number
  #client: Promise<DoorClient> | undefined

  constructor(path: string, timeout: number) {
    this.#path = path
    this.#timeout = timeout
  }

  /**
   * Calls the door. A call that was not sent, because the server had gone before, is made once more with whoever serves
   * the name now; one that was sent is never repeated.
   * @throws {DoorCallError}
   */
  async call(message: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    const deadline = AbortSignal.timeout(this.#timeout)
    const either = AbortSignal.any([signal, deadline])
    for (let again = false; ; again = true) {
      const opened = this.#open()
      const client = await opened.catch((error: unknown) => {
        throw new DoorCallError(openFailure(error), error)
      })
      try {
        const response = await client.call(message, { signal: either })
        // No descriptors are expected; any that came are closed.
        response.close()
        return response.data
      } catch (error) {
        const isGone = codeOf(error) === 'EBADF' || codeOf(error) === 'EINTR'
        if (isGone && !either.aborted) this.#forget(opened)
        if (codeOf(error) === 'EBADF' && !again && !either.aborted) continue
        throw new DoorCallError(callFailure(error, signal, deadline), error)
      }
    }
  }

  close(): void {
    if (this.#client !== undefined) this.#forget(this.#client)
  }

  #open(): Promise<DoorClient> {
    if (this.#client !== undefined) return this.#client
    const opened = openDoor(this.#path, { timeout: this.#timeout })
    this.#client = opened
    opened.catch(() => {
      if (this.#client === opened) this.#client = undefined
    })
    return opened
  }

  // Calls that run over it end: their server has gone as well.
  #forget(opened: Promise<DoorClient>): void {
    if (this.#client !== opened) return
    this.#client = undefined
    void opened.then(
      (client) => {
        client.close()
      },
      () => undefined,
    )
  }
}

function openFailure(error: unknown): DoorFailure {
  if (UNSERVED.has(codeOf(error))) return 'unserved'
  return codeOf(error) === 'ETIMEDOUT' ? 'late' : 'refused'
}

function callFailure(error: unknown, signal: AbortSignal, deadline: AbortSignal): DoorFailure {
  if (signal.aborted) return 'abandoned'
  if (deadline.aborted) return 'late'
  switch (codeOf(error)) {
    case 'EBADF':
      return 'unserved'
    case 'EINTR':
      return 'gone'
    case 'ENOBUFS':
    case 'E2BIG':
      return 'large'
    default:
      return 'refused'
  }
}
