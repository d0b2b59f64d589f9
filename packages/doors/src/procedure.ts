import type { Fd } from '@x/fdpass'
import type { Caller } from './caller.ts'
import type { SentFd } from './release.ts'

/** What a procedure may answer: bytes, or bytes and descriptors. */
export type Reply =
  | Uint8Array
  | string
  | undefined
  | { data?: Uint8Array | string | undefined; fds?: Iterable<SentFd> | undefined }

/** What a procedure has beside the bytes of the call. */
export interface CallContext {
  /** Aborted when the caller has gone or does not wait any more, but of a door with DOOR_NO_CANCEL. */
  readonly signal: AbortSignal
  /** The same, found out now: for a procedure that leaves its thread no turn in which a signal could come. */
  readonly aborted: boolean
  /** Who calls. Throws DoorError EINVAL when the caller has gone. */
  readonly caller: Caller
  /** Descriptors that came with the call. They are closed when the procedure has ended, but those that were taken. */
  readonly fds: readonly Fd[]
  /** As it was given to createDoor; for a pool of threads a structured clone of it. */
  readonly cookie: unknown
}

/** What a door is made of. `data` is null when the caller has given none. */
export type Procedure = (data: Buffer | null, context: CallContext) => Reply | Promise<Reply>

/** A door as the threads that serve it need it. */
export interface ServedDoor {
  readonly procedure: Procedure
  readonly cookie: unknown
  /** Whether its procedure is told that the caller has gone. */
  readonly cancels: boolean
  /** Whether `data` is lent for the procedure's synchronous part only. */
  readonly lendsBuffer: boolean
}
