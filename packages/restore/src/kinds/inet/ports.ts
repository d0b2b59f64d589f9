import { FdType, type InetSkEntry } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { PlanNode } from '../../plan/node.ts'
import type { OpenContext, Situation } from '../kind.ts'
import { isAny, sourceOf, v4Of, AF_INET6, type Endpoint } from './address.ts'
import { isConnection, isTcp, protocolText, SOCK_RAW, STATE } from './protocol.ts'

/** Who uses one port of a protocol. */
interface PortUsers {
  /** Those that bind to it under the kernel's rules. */
  readonly takers: File[]
  /** Whether all of them have SO_REUSEPORT: then they need nothing else to have one address. */
  allReuse: boolean
}

const entryOf = (file: File): InetSkEntry => file.entry.isk as InetSkEntry

/**
 * Several sockets can have one port because all that bind allow it, at the time when they do (SO_REUSEADDR, and for
 * sockets that listen at one address SO_REUSEPORT); afterwards they may allow it or not. So all allow it until the last
 * of them is bound and listens, as with CRIU's counter of the users of a port. But SO_REUSEPORT is lent only to TCP
 * sockets that listen at the same address: who has had it belongs for ever to a group among which the kernel deals out
 * connections or datagrams, and it lets other processes in.
 */
export interface Lending {
  /** SO_REUSEADDR has to be set while addresses are taken, although the socket has it not. */
  readonly reuseaddr: boolean
  readonly reuseport: boolean
  /** Whether others are to bind to the same port: nobody listens before they have, or takes back what was lent. */
  readonly isShared: boolean
}

export function lendingOf(file: File, situation: Situation): Lending {
  const entry = entryOf(file)
  const users = portsOf(situation).get(keyOf(entry))
  if (users === undefined) return { reuseaddr: false, reuseport: false, isShared: false }
  const isShared = users.takers.length > 1 && !users.allReuse
  const listensBeside = (other: File): boolean => other !== file && sharesListening(file, other)
  return {
    // There may be connections to a TCP port that have just ended here (TIME-WAIT).
    reuseaddr: !entry.opts.reuseaddr && (isTcp(entry) || isShared),
    reuseport:
      entry.state === STATE.listen && !entry.opts.soReuseport && isShared && users.takers.some(listensBeside),
    isShared,
  }
}

/** A step that is done when all sockets that bind to the port of this one have done so. */
export function allBound(context: OpenContext): PlanNode {
  const { file, task, shared } = context
  const entry = entryOf(file)
  return shared(`inet port ${keyOf(entry)}`, () => {
    let missing: readonly File[] = portsOf(context).get(keyOf(entry))?.takers ?? []
    return {
      task,
      label: `addresses of ${protocolText(entry)} port ${entry.srcPort}`,
      run: ({ need, nodeOf }) => {
        missing = missing.filter((each) => !need(nodeOf(each), 'open'))
        return { status: missing.length === 0 ? 0 : 1 }
      },
    }
  })
}

/** Whether a socket at one address gets what is sent to the other. */
export function overlap(one: Endpoint, other: Endpoint): boolean {
  if (one.port !== other.port) return false
  const [oneV4, otherV4] = [v4Of(one), v4Of(other)]
  if (isAny(one)) return one.family === AF_INET6 || otherV4 !== undefined || isAny(other)
  if (isAny(other)) return other.family === AF_INET6 || oneV4 !== undefined
  if (oneV4 !== undefined || otherV4 !== undefined) return oneV4 === otherV4
  return one.words.every((word, at) => word === other.words[at])
}

function sharesListening(one: File, other: File): boolean {
  const entries = [entryOf(one), entryOf(other)]
  const v6only = entries.some((entry) => entry.v6only)
  const families = new Set(entries.map(({ family }) => family))
  if (!entries.every(({ state }) => state === STATE.listen) || (v6only && families.size > 1)) return false
  return overlap(sourceOf(entryOf(one)), sourceOf(entryOf(other)))
}

function portsOf({ once, model }: Situation): Map<string, PortUsers> {
  return once('inet ports', () => {
    const ports = new Map<string, PortUsers>()
    for (const file of model.files.values()) {
      if (file.type !== FdType.INETSK || !binds(entryOf(file))) continue
      const key = keyOf(entryOf(file))
      const users = ports.get(key) ?? { takers: [], allReuse: true }
      ports.set(key, users)
      users.takers.push(file)
      users.allReuse &&= entryOf(file).opts.soReuseport
    }
    return ports
  })
}

/** Connections are bound in repair mode, where the rules do not hold; the port of a raw socket is its protocol. */
function binds(entry: InetSkEntry): boolean {
  return entry.srcPort !== 0 && entry.type !== SOCK_RAW && !isConnection(entry)
}

function keyOf({ type, proto, srcPort }: InetSkEntry): string {
  return `${type} ${proto} ${srcPort}`
}
