import type { SentFd } from './release.ts'

/** A call on its way. */
export interface Request {
  readonly data: Uint8Array
  readonly fds: readonly SentFd[]
}
