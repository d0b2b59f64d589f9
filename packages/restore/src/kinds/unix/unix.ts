import type { Situation } from '../kind.ts'
import { Names } from './names.ts'
import { divideQueues } from './senders.ts'
import { UnixSockets } from './sockets.ts'

/** The Unix sockets of a plan, with their names and queues. */
export interface Unix {
  readonly sockets: UnixSockets
  readonly names: Names
}

export function unixOf(situation: Situation): Unix {
  return situation.once('Unix sockets', () => {
    const sockets = new UnixSockets(situation)
    divideQueues(sockets.all, situation.warn)
    return { sockets, names: new Names(sockets) }
  })
}
