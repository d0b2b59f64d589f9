import { channel, type Channel } from 'node:diagnostics_channel'

/** Descriptors that were closed because nobody took them. */
export interface FdPassEvent {
  /** How many. */
  readonly count: number
  /**
   * `closed`: the socket was closed before they were received by a call. `refused`, `truncated`: see FdRefusedError and
   * FdTruncatedError. `unclosed`: their Message or Fd was forgotten, and the garbage collector came upon it.
   */
  readonly reason: 'closed' | 'refused' | 'truncated' | 'unclosed'
}

const discarded: Channel = channel('x.fdpass.discarded')

export function publishDiscarded(count: number, reason: FdPassEvent['reason']): void {
  if (count > 0 && discarded.hasSubscribers) discarded.publish({ count, reason } satisfies FdPassEvent)
}
