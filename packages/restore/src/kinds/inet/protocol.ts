import type { InetSkEntry } from '../../images/index.ts'

export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3

export const IPPROTO_ICMP = 1
export const IPPROTO_TCP = 6
const IPPROTO_UDP = 17
export const IPPROTO_ICMPV6 = 58
const IPPROTO_UDPLITE = 136
export const IPPROTO_RAW = 255

/** States of TCP (net/tcp_states.h). Others use two of them. */
export const STATE = {
  established: 1,
  synSent: 2,
  finWait1: 4,
  finWait2: 5,
  close: 7,
  closeWait: 8,
  lastAck: 9,
  listen: 10,
  closing: 11,
} as const

const names: Record<number, string> = {
  [STATE.established]: 'established',
  [STATE.synSent]: 'being opened',
  [STATE.finWait1]: 'in FIN-WAIT-1',
  [STATE.finWait2]: 'in FIN-WAIT-2',
  [STATE.close]: 'closed',
  [STATE.closeWait]: 'in CLOSE-WAIT',
  [STATE.lastAck]: 'in LAST-ACK',
  [STATE.listen]: 'listening',
  [STATE.closing]: 'in CLOSING',
}

/** The state in words, undefined for one that no descriptor can have. */
export function stateText(state: number): string | undefined {
  return names[state]
}

export function isTcp({ type, proto }: InetSkEntry): boolean {
  return type === SOCK_STREAM && proto === IPPROTO_TCP
}

/** Whether it has, or had, a peer: that is made by TCP_REPAIR. */
export function isConnection(entry: InetSkEntry): boolean {
  return isTcp(entry) && entry.dstPort !== 0
}

/** `TCP`, `UDP`, `raw protocol 89`. */
export function protocolText({ type, proto, family }: InetSkEntry): string {
  if (type === SOCK_RAW) return `raw protocol ${proto}`
  const known: Record<number, string> = {
    [IPPROTO_TCP]: 'TCP',
    [IPPROTO_UDP]: 'UDP',
    [IPPROTO_UDPLITE]: 'UDP-Lite',
    [IPPROTO_ICMP]: 'ping',
    [IPPROTO_ICMPV6]: 'ping',
  }
  return known[proto] ?? `protocol ${proto} of family ${family}`
}
