import { channel, type Channel } from 'node:diagnostics_channel'

/** A server thread could not be made, or has failed. */
export interface ServerThreadFailed {
  readonly error: unknown
}

const serverThreadFailed: Channel = channel('x.doors.serverThreadFailed')

export function publishServerThreadFailed(event: ServerThreadFailed): void {
  if (serverThreadFailed.hasSubscribers) serverThreadFailed.publish(event)
}
