import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { FdType, MarkType } from '../images/messages.ts'
import { binding } from './binding.ts'
import { kernelDevice } from './device-number.ts'
import { textOf } from './errno.ts'
import { hexadecimal, pairsOf } from './fdinfo.ts'
import type { FileInit } from './file-list.ts'
import { statusOfPath } from './file-status.ts'
import type { Findings } from './findings.ts'
import { baseOf } from './names.ts'
import { placeOf, titleOf, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'

/** Paths that may lead to what is watched, where a handle cannot be opened. */
export type Candidates = () => Iterable<string>

interface Mount {
  readonly id: number
  /** As the kernel has it inside. */
  readonly device: number
  readonly path: string
}

const handleWords = 16

function mountsOf(pid: number): Mount[] {
  return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [id = '0', , device = '0:0', , path = '/'] = line.split(' ')
      const [major = 0, minor = 0] = device.split(':').map(Number)
      const plain = path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      )
      return { id: Number(id), device: ((major << 20) | minor) >>> 0, path: plain }
    })
}

const bytesOf = (hex: string): Buffer => Buffer.from(hex, 'hex')

function wordsOf(handle: Buffer): bigint[] {
  const room = Buffer.alloc(handleWords * 8)
  handle.copy(room)
  return Array.from({ length: handleWords }, (_, at) => room.readBigUInt64LE(at * 8))
}

/** inotify(7) and fanotify(7). The kernel knows watched inodes by handles; images want paths too. */
export class Watches {
  readonly #findings: Findings
  readonly #candidates: Candidates
  readonly #mounts = new Map<number, Mount[]>()
  #byInode: Map<string, string> | undefined

  constructor(findings: Findings, candidates: Candidates) {
    this.#findings = findings
    this.#candidates = candidates
  }

  inotify(file: OpenFile): FileInit {
    const { id, info, number } = file
    const wd = info.lines
      .filter((line) => line.startsWith('inotify '))
      .map((line) => {
        const pairs = pairsOf(line)
        return {
          id: 0,
          iIno: BigInt(`0x${pairs.get('ino') ?? '0'}`),
          mask: hexadecimal(pairs, 'mask'),
          ignoredMask: hexadecimal(pairs, 'ignored_mask'),
          sDev: hexadecimal(pairs, 'sdev'),
          wd: hexadecimal(pairs, 'wd'),
          fHandle: this.#handleOf(file, pairs),
        }
      })
    return { type: FdType.INOTIFY, id, ify: { id, flags: info.flags, fown: ownerOf(number), wd } }
  }

  fanotify(file: OpenFile): FileInit {
    const { id, info, number } = file
    const group = pairsOf(info.lines.find((line) => line.startsWith('fanotify flags:')) ?? '')
    const marks = info.lines.filter(
      (line) => line.startsWith('fanotify ') && !line.startsWith('fanotify flags:'),
    )
    const ffy = {
      id,
      flags: info.flags,
      fown: ownerOf(number),
      faflags: hexadecimal(group, 'flags'),
      evflags: hexadecimal(group, 'event-flags'),
      mark: marks.flatMap((line) => this.#markOf(file, pairsOf(line)) ?? []),
    }
    return { type: FdType.FANOTIFY, id, ffy }
  }

  #markOf(file: OpenFile, pairs: ReadonlyMap<string, string>): object | undefined {
    const common = {
      id: 0,
      mflags: hexadecimal(pairs, 'mflags'),
      mask: hexadecimal(pairs, 'mask'),
      ignoredMask: hexadecimal(pairs, 'ignored_mask'),
      sDev: hexadecimal(pairs, 'sdev'),
    }
    if (pairs.has('ino')) {
      const iIno = BigInt(`0x${pairs.get('ino') ?? '0'}`)
      return { ...common, type: MarkType.INODE, ie: { iIno, fHandle: this.#handleOf(file, pairs) } }
    }
    if (pairs.has('mnt_id')) {
      const mntId = hexadecimal(pairs, 'mnt_id')
      const path = this.#mountsOf(file.holder).find(({ id }) => id === mntId)?.path
      return { ...common, type: MarkType.MOUNT, me: { mntId, ...(path !== undefined && { path }) } }
    }
    const message = `${titleOf(file)} has a mark on a whole file system, which images cannot have`
    this.#findings.lose({ reason: 'unsupported-mark', ...placeOf(file), message })
    return undefined
  }

  #handleOf(file: OpenFile, pairs: ReadonlyMap<string, string>): object {
    const handle = bytesOf(pairs.get('f_handle') ?? '')
    const type = hexadecimal(pairs, 'fhandle-type')
    const path = this.#pathOf(file, pairs, type, handle)
    return {
      bytes: hexadecimal(pairs, 'fhandle-bytes'),
      type,
      handle: wordsOf(handle),
      ...(path !== undefined && { path }),
    }
  }

  #pathOf(
    file: OpenFile,
    pairs: ReadonlyMap<string, string>,
    type: number,
    handle: Buffer,
  ): string | undefined {
    const device = hexadecimal(pairs, 'sdev')
    const inode = BigInt(`0x${pairs.get('ino') ?? '0'}`)
    const opened = this.#openHandle(file.holder, device, type, handle)
    if (typeof opened === 'string' && isOf(baseOf(file.holder) + opened, inode)) return opened
    // The kernel knows files by handles that it has no name for.
    const path = this.#search(device, inode)
    if (path !== undefined) return path
    const why = typeof opened === 'string' ? 'it has been deleted' : textOf(opened)
    const message = `what ${titleOf(file)} watches (inode ${inode}) has no path: ${why}; it needs CAP_DAC_READ_SEARCH`
    this.#findings.lose({ reason: 'lost-watch', ...placeOf(file), message })
    return undefined
  }

  /** Of a mount with this device, through its root; a negative errno where none will do. */
  #openHandle(pid: number, device: number, type: number, handle: Buffer): string | number {
    const ENODEV = -19
    let error = ENODEV
    for (const mount of this.#mountsOf(pid)) {
      if (mount.device !== device) continue
      const name = nameThrough(`/proc/${pid}/root${mount.path}`, type, handle)
      if (typeof name !== 'number') return name
      error = name
    }
    return error
  }

  #mountsOf(pid: number): readonly Mount[] {
    let mounts = this.#mounts.get(pid)
    if (mounts === undefined) this.#mounts.set(pid, (mounts = mountsOf(pid)))
    return mounts
  }

  #search(device: number, inode: bigint): string | undefined {
    this.#byInode ??= inodesOf(this.#candidates())
    return this.#byInode.get(`${device}:${inode}`)
  }
}

function isOf(path: string, inode: bigint): boolean {
  const status = statusOfPath(path, true)
  return typeof status !== 'number' && status.ino === inode
}

function nameThrough(mount: string, type: number, handle: Buffer): string | number {
  const ENOENT = -2
  let number: number
  try {
    number = openSync(mount, constants.O_RDONLY)
  } catch {
    return ENOENT
  }
  try {
    const name = binding.nameOfHandle(number, type, handle)
    return typeof name === 'number' ? name : name.toString('utf8')
  } finally {
    closeSync(number)
  }
}

function inodesOf(paths: Iterable<string>): Map<string, string> {
  const inodes = new Map<string, string>()
  for (const path of paths) {
    const stats = statusOfPath(path)
    if (typeof stats !== 'number') inodes.set(`${kernelDevice(stats.dev)}:${stats.ino}`, path)
  }
  return inodes
}
