import { binding } from './binding.ts'

/** stat(2), in what it is needed for. */
export interface FileStatus {
  readonly dev: bigint
  readonly ino: bigint
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: bigint
  readonly size: bigint
  readonly blksize: number
  readonly atimeNs: bigint
  readonly mtimeNs: bigint
}

/** Where the addon leaves it; the order is that of native/addon.cc. */
const memory = new BigUint64Array(11)

const at = (place: number): bigint => memory[place] ?? 0n

const taken = (): FileStatus => ({
  dev: at(0),
  ino: at(1),
  mode: Number(at(2)),
  nlink: Number(at(3)),
  uid: Number(at(4)),
  gid: Number(at(5)),
  rdev: at(6),
  size: at(7),
  blksize: Number(at(8)),
  atimeNs: at(9),
  mtimeNs: at(10),
})

/** Of the file that a path leads to, or (`link`) of the symbolic link that it is; a negative errno for none. */
export function statusOfPath(path: string, link = false): FileStatus | number {
  const error = binding.status(path, link ? 0 : 1, memory)
  return error < 0 ? error : taken()
}

/** What /proc tells of a descriptor: the text of its fdinfo, its link, and the file. A negative errno for none. */
export function lookAtNumber(
  pid: number,
  descriptor: number,
): { readonly info: string; readonly link: string; readonly stats: FileStatus } | number {
  const text = binding.look(pid, descriptor, memory)
  if (typeof text === 'number') return text
  const end = text.indexOf('\0')
  return { info: text.slice(0, end), link: text.slice(end + 1), stats: taken() }
}

/** The file that a Unix socket was bound to, and its name; a negative errno for none. */
export function fileOfSocket(socket: number): { readonly name: string; readonly stats: FileStatus } | number {
  const name = binding.socketFile(socket, memory)
  return typeof name === 'number' ? name : { name: name.toString('utf8'), stats: taken() }
}
