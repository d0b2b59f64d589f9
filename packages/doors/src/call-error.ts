import { DoorError, E } from './errors.ts'

/** What a call fails with whose reply has this status, which is not 0; `data` is the reply's. */
export function callError(status: number, data: Buffer): DoorError {
  const detail = status === E.EREMOTEIO ? `the procedure failed: ${data.toString()}` : undefined
  return new DoorError(status < 0 ? status : E.EPROTO, 'door_call', { detail })
}
