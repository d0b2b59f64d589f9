import type { FownEntry, TcpStream } from '../images/index.ts'
import {
  O_ACCMODE,
  O_APPEND,
  O_ASYNC,
  O_DIRECT,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
  O_WRONLY,
} from '../kinds/flags.ts'
import type { File } from '../model/file.ts'
import { counted } from './words.ts'

/** What images say of files elsewhere, by what they know them by. */
export interface Attached {
  /** Ids of files that have no name any more. */
  readonly deleted: ReadonlySet<number>
  /** By the id of the socket that would receive them. */
  readonly messages: ReadonlyMap<number, { readonly count: number; readonly rights: number }>
  /** By the id of the pipe. */
  readonly bytes: ReadonlyMap<number, number>
  /** By inode of the socket. */
  readonly streams: ReadonlyMap<number, TcpStream>
}

/** The fields that messages of files have in common. */
interface Common {
  readonly flags?: number
  readonly pos?: bigint
  readonly fown?: FownEntry
  readonly pipeId?: number
  readonly ino?: number
}

const modes = new Map([
  [O_APPEND, 'appends'],
  [O_NONBLOCK, 'non-blocking'],
  [O_ASYNC, 'asynchronous'],
  [O_DIRECT, 'direct'],
  [O_NOATIME, 'leaves the access time'],
])
const NO_POSITION = 2n ** 64n - 1n

/** Modes of a file, where it stands, whom it signals, and what waits in it. */
export function detailsOf(file: File, attached: Attached): string[] {
  const common = commonOf(file)
  const { flags = 0, pos = 0n, fown } = common
  const details: string[] = attached.deleted.has(file.id) ? ['deleted'] : []
  if (hasAccessMode(file)) details.push(accessOf(flags))
  for (const [mode, words] of modes) if ((flags & mode) === mode) details.push(words)
  if (pos !== 0n && pos !== NO_POSITION) details.push(`at byte ${pos}`)
  if (fown !== undefined && fown.pid !== 0)
    details.push(`signals ${fown.pidType === 2 ? 'group' : 'process'} ${fown.pid}`)
  return [...details, ...queued(file, common, attached)]
}

/** The message of its type. */
function commonOf({ entry }: File): Common {
  const values: unknown[] = Object.values(entry)
  const inner = values.find((value) => typeof value === 'object' && value !== null && 'id' in value)
  return (inner ?? {}) as Common
}

function hasAccessMode({ entry }: File): boolean {
  return (entry.reg ?? entry.memfd ?? entry.tty ?? entry.fifo) !== undefined
}

function accessOf(flags: number): string {
  if ((flags & O_PATH) !== 0) return 'path only'
  const mode = flags & O_ACCMODE
  return mode === O_RDWR ? 'read, write' : mode === O_WRONLY ? 'write' : 'read'
}

function queued(file: File, { pipeId, ino }: Common, { messages, bytes, streams }: Attached): string[] {
  const details: string[] = []
  const packets = messages.get(file.id)
  const waiting = pipeId === undefined ? 0 : (bytes.get(pipeId) ?? 0)
  const stream = ino === undefined || file.entry.isk === undefined ? undefined : streams.get(ino)
  if (packets !== undefined) {
    const rights = packets.rights === 0 ? '' : ` with ${counted(packets.rights, 'descriptor')}`
    details.push(`${counted(packets.count, 'message waits', 'messages wait')}${rights}`)
  }
  if (waiting > 0) details.push(counted(waiting, 'byte waits', 'bytes wait'))
  if (stream !== undefined)
    details.push(`${stream.entry.inqLen} bytes to read, ${stream.entry.outqLen} to be sent`)
  return details
}
