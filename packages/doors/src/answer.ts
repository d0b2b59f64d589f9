import type { Reply } from './procedure.ts'
import type { SentFd } from './release.ts'

/** A reply as it is sent. */
export interface Answer {
  readonly data: Uint8Array
  readonly fds: readonly SentFd[]
}

const empty = new Uint8Array(0)
const none: readonly SentFd[] = []

const refused = (): TypeError =>
  new TypeError('a procedure returns bytes, a string, nothing, or { data, fds } of these')

const bytesOf = (data: unknown): Uint8Array => {
  if (data === undefined || data === null) return empty
  if (typeof data === 'string') return Buffer.from(data)
  if (data instanceof Uint8Array) return data
  throw refused()
}

/** Throws TypeError for what is no reply. */
export function answerOf(reply: Reply): Answer {
  if (typeof reply !== 'object' || (reply as unknown) === null || reply instanceof Uint8Array)
    return { data: bytesOf(reply), fds: none }
  const { data, fds, ...others } = reply
  if (Object.keys(others).length > 0) throw refused()
  return { data: bytesOf(data), fds: fds === undefined ? none : [...fds] }
}
