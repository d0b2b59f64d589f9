import type { FdKind } from './fd-kind.ts'
import { checkCount, checkFields, invalid } from './options.ts'

/**
 * `stream`: bytes in order; framed, unless told otherwise, so that messages keep their bounds and their descriptors.
 * `seqpacket`: messages in order on a connection. `dgram`: messages to a name, in order, without a connection.
 */
export type SocketType = 'stream' | 'seqpacket' | 'dgram'

/** What a socket takes. The rules are the receiver's: nothing that a peer sends can change them. */
export interface ReceiveOptions {
  /**
   * Of a stream: whether it speaks in frames, as the peer must then do too. True unless told otherwise. False is for
   * foreign peers: `recv` returns the bytes that are there, and with them the descriptors that came with any of them.
   */
  framed?: boolean | undefined
  /** The most descriptors that a message may have: 253 unless told, 1024 of a framed stream. */
  maxFds?: number | undefined
  /**
   * The most bytes that a message may have: 256 KiB unless told, 1 MiB of a framed stream. Of an unframed stream, the
   * most that one `recv` returns: 64 KiB.
   */
  maxBytes?: number | undefined
  /** The only kinds of descriptors that are taken; all, unless told. Looking costs a few system calls each. */
  kinds?: readonly FdKind[] | undefined
  /** Messages tell the process, user and group of their senders (SO_PASSCRED, unix(7)). */
  credentials?: boolean | undefined
  /** Messages bring a pidfd of their senders (SO_PASSPIDFD, Linux 6.5). Not for framed streams: see `peerPidfd`. */
  pidfd?: boolean | undefined
  /**
   * False: no descriptors at all. The kernel then refuses them where they are sent, with EPERM (SO_PASSRIGHTS, Linux
   * 6.16); older kernels deliver them, and they are closed here.
   */
  rights?: boolean | undefined
}

/** @internal {@link ReceiveOptions}, each with a value. */
export interface ReceiveRules {
  readonly type: SocketType
  readonly framed: boolean
  readonly maxFds: number
  readonly maxBytes: number
  readonly kinds: ReadonlySet<string> | undefined
  readonly credentials: boolean
  readonly pidfd: boolean
  readonly rights: boolean
}

/** SOCK_* of each type. */
export const SOCK: Readonly<Record<SocketType, number>> = { stream: 1, seqpacket: 5, dgram: 2 }

/** SCM_MAX_FD: the most descriptors that one sendmsg(2) takes. */
export const MOST_RIGHTS = 253

const fields = ['framed', 'maxFds', 'maxBytes', 'kinds', 'credentials', 'pidfd', 'rights']
const defaults = {
  framed: { fds: 1024, bytes: 1024 * 1024 },
  stream: { fds: MOST_RIGHTS, bytes: 64 * 1024 },
  packet: { fds: MOST_RIGHTS, bytes: 256 * 1024 },
}

export function checkType(type: SocketType, syscall: string): void {
  if (!Object.hasOwn(SOCK, type)) throw invalid(syscall, 'type is stream, seqpacket or dgram')
}

const flag = (
  options: ReceiveOptions,
  name: 'framed' | 'credentials' | 'pidfd' | 'rights',
  other: boolean,
): boolean => {
  const value = options[name] ?? other
  if (typeof value !== 'boolean') throw invalid('socket', `${name} is a boolean`)
  return value
}

/** What no bytes are received for cannot be told from the end. */
function checkMaxBytes(value: number, framed: boolean): number {
  if (checkCount(value, 'maxBytes', 0x7fffffff, 'socket') > 0 || framed) return value
  throw invalid('socket', 'maxBytes is at least 1')
}

/** Checks the options of a socket; `others` are fields that the caller looks at itself. */
export function receiveRules(
  type: SocketType,
  options: ReceiveOptions,
  others: readonly string[] = [],
): ReceiveRules {
  checkFields(options, [...fields, ...others], 'socket')
  checkType(type, 'socket')
  const framed = flag(options, 'framed', type === 'stream')
  const pidfd = flag(options, 'pidfd', false)
  if (framed && type !== 'stream') throw invalid('socket', 'only a stream is framed; packets have bounds')
  if (framed && pidfd) throw invalid('socket', 'reads and frames do not match one to one; see peerPidfd()')
  const usual = defaults[framed ? 'framed' : type === 'stream' ? 'stream' : 'packet']
  if (options.kinds !== undefined && !Array.isArray(options.kinds)) {
    throw invalid('socket', 'kinds is an array of kinds')
  }
  const kinds = options.kinds === undefined ? undefined : new Set<string>(options.kinds)
  const rights = flag(options, 'rights', true)
  const most = framed ? 0x7fffffff : MOST_RIGHTS
  return {
    type,
    framed,
    maxFds: rights ? checkCount(options.maxFds ?? usual.fds, 'maxFds', most, 'socket') : 0,
    maxBytes: checkMaxBytes(options.maxBytes ?? usual.bytes, framed),
    kinds,
    credentials: flag(options, 'credentials', false),
    pidfd,
    rights,
  }
}
