import { FdType, type FileEntry } from './messages.ts'
import { refuse } from './refusal.ts'

/** The fields of a FileEntry that hold a file. */
export type FileKind = keyof Omit<FileEntry, 'type' | 'id' | '$typeName' | '$unknown'>

/** In which field of a FileEntry a file of this type is. */
export const FILE_KINDS: Readonly<Record<FdType, FileKind>> = {
  [FdType.REG]: 'reg',
  [FdType.PIPE]: 'pipe',
  [FdType.FIFO]: 'fifo',
  [FdType.INETSK]: 'isk',
  [FdType.UNIXSK]: 'usk',
  [FdType.EVENTFD]: 'efd',
  [FdType.EVENTPOLL]: 'epfd',
  [FdType.INOTIFY]: 'ify',
  [FdType.SIGNALFD]: 'sgfd',
  [FdType.PACKETSK]: 'psk',
  [FdType.TTY]: 'tty',
  [FdType.FANOTIFY]: 'ffy',
  [FdType.NETLINKSK]: 'nlsk',
  [FdType.NS]: 'nsf',
  [FdType.TUNF]: 'tunf',
  [FdType.EXT]: 'ext',
  [FdType.TIMERFD]: 'tfd',
  [FdType.MEMFD]: 'memfd',
  [FdType.BPFMAP]: 'bpf',
  [FdType.PIDFD]: 'pidfd',
}

/** Of a FileEntry: the name of the message, `type`, `id` and the one that `type` says. */
const MEMBERS = 4

const kinds = Object.values(FILE_KINDS)

/** Refuses a file that does not hold what its type says, and only that, under its own id. */
export function checkFile(file: FileEntry, image: string): void {
  const kind = FILE_KINDS[file.type]
  const inner = file[kind]
  if (inner === undefined) {
    refuse('missing-field', image, `FileEntry.${kind} is missing in the file ${file.id}, whose type says it`)
  }
  if (inner.id !== file.id) refuse('id-mismatch', image, `the file ${file.id} has the id ${inner.id} inside`)
  if (Object.keys(file).length <= MEMBERS) return
  const surplus = kinds.find((other) => other !== kind && file[other] !== undefined)
  if (surplus !== undefined) {
    refuse('surplus-field', image, `FileEntry.${surplus} is in the file ${file.id}, whose type says ${kind}`)
  }
}
