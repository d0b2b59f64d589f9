import { closeSync, constants, openSync, readlinkSync, statfsSync } from 'node:fs'
import type { Problem } from '../errors.ts'
import type { Ghost } from '../images/image-set.ts'
import {
  FdType,
  GhostFileEntrySchema,
  makeMessage,
  RemapFilePathEntrySchema,
  RemapType,
  type RemapFilePathEntry,
} from '../images/messages.ts'
import { binding } from './binding.ts'
import { readContent, TooLarge } from './content.ts'
import { kernelDevice } from './device-number.ts'
import { textOf } from './errno.ts'
import type { FileList } from './file-list.ts'
import { statusOfPath, type FileStatus } from './file-status.ts'
import type { Findings } from './findings.ts'
import { baseOf, leadsTo } from './names.ts'
import { O_PATH } from './open-file.ts'
import { nobody, type Fown } from './owner.ts'

/** A file with a name, or without one any more. */
export interface NamedFile {
  readonly id: number
  readonly link: string
  readonly stats: FileStatus
  /** A path of /proc that leads to it whatever its name does. */
  readonly at: string
  /** The process that sees the name. */
  readonly holder: number
  readonly flags: number
  readonly position: bigint
  readonly fown: Fown
  readonly place: Omit<Problem, 'reason' | 'message'>
}

const gone = ' (deleted)'
const { S_IFMT, S_IFDIR, S_IFREG, S_IFCHR, S_IFBLK, S_IFLNK } = constants
const PROC_SUPER_MAGIC = 0x9fa0

const keyOf = ({ dev, ino }: FileStatus): string => `${dev}:${ino}`
const kindOf = ({ mode }: FileStatus): number => mode & S_IFMT

/** Files that images name by a path, and what stands in for paths that are gone. */
export class RegularFiles {
  readonly remaps: RemapFilePathEntry[] = []
  readonly ghosts: Map<number, Ghost> = new Map<number, Ghost>()
  readonly #files: FileList
  readonly #findings: Findings
  readonly #limit: number
  readonly #bases = new Map<number, string>()
  /** By device and inode: the id of a file whose name leads to it. */
  readonly #named = new Map<string, number>()
  readonly #nameless: NamedFile[] = []
  readonly #ghostIds = new Map<string, number>()
  readonly #programs = new Map<string, number>()

  constructor(files: FileList, findings: Findings, limit: number) {
    this.#files = files
    this.#findings = findings
    this.#limit = limit
  }

  /** Adds the file with its id. */
  add(file: NamedFile): void {
    const { id, link, stats, flags, position, fown } = file
    const base = this.#baseOf(file.holder)
    const isGone = link.endsWith(gone) && !leadsTo(base + link, stats)
    const name = isGone ? link.slice(0, -gone.length) : link
    if (!isGone && leadsTo(base + name, stats)) this.#named.set(keyOf(stats), id)
    else this.#nameless.push(file)
    this.#files.add({
      type: FdType.REG,
      id,
      reg: {
        id,
        flags,
        pos: position,
        fown,
        name,
        mode: stats.mode,
        ...(kindOf(stats) === S_IFREG && { size: stats.size }),
      },
    })
  }

  /** Adds what a link of /proc/PID leads to: `cwd`, `root` or `exe`. Returns its id. */
  addLink(pid: number, what: 'cwd' | 'root' | 'exe'): number {
    const at = `/proc/${pid}/${what}`
    const link = readlinkSync(at, 'buffer').toString('utf8')
    const stats = statusOfPath(at)
    if (typeof stats === 'number') throw new Error(`${at}: ${textOf(stats)}`)
    const known = what === 'exe' ? this.#programs.get(keyOf(stats)) : undefined
    if (known !== undefined) return known
    const id = this.#files.newId()
    if (what === 'exe') this.#programs.set(keyOf(stats), id)
    this.add({
      id,
      link,
      stats,
      at,
      holder: pid,
      flags: 0,
      position: 0n,
      fown: nobody,
      place: { pid, file: id },
    })
    return id
  }

  /** Finds other names, or makes ghosts, once all files are known. */
  finish(): void {
    for (const file of this.#nameless) {
      const other = file.stats.nlink > 0 ? this.#named.get(keyOf(file.stats)) : undefined
      if (other !== undefined) this.#remap(file.id, other, RemapType.LINKED)
      else this.#makeGhost(file)
    }
  }

  #baseOf(pid: number): string {
    let base = this.#bases.get(pid)
    if (base === undefined) this.#bases.set(pid, (base = baseOf(pid)))
    return base
  }

  #remap(origId: number, remapId: number, remapType: RemapType): void {
    this.remaps.push(makeMessage(RemapFilePathEntrySchema, { origId, remapId, remapType }))
  }

  #makeGhost(file: NamedFile): void {
    const key = keyOf(file.stats)
    let ghost = this.#ghostIds.get(key)
    if (ghost === undefined) {
      if (this.#hasBadName(file)) return
      this.#ghostIds.set(key, (ghost = this.#ghostIds.size + 1))
      if (!this.#fillGhost(ghost, file)) return
    }
    this.#remap(file.id, ghost, RemapType.GHOST)
  }

  /** Names that lead nowhere for another reason than that the file has lost them. */
  #hasBadName({ link, stats, place }: NamedFile): boolean {
    if (link.includes('\ufffd')) {
      this.#findings.refuse({ reason: 'not-text', ...place, message: `the name ${link} is not UTF-8` })
      return true
    }
    if (kindOf(stats) !== S_IFDIR || stats.nlink === 0 || link.endsWith(gone)) return false
    const message = `${link} is a folder that its name does not lead to: another mount is over it, or it was unmounted`
    this.#findings.refuse({ reason: 'unreachable', ...place, message })
    return true
  }

  #fillGhost(id: number, file: NamedFile): boolean {
    const { place, link } = file
    try {
      if (statfsSync(file.at).type === PROC_SUPER_MAGIC) {
        const message = `${link} was of a process that has ended, and cannot be opened again`
        this.#findings.refuse({ reason: 'dead-proc', ...place, message })
        return false
      }
      this.ghosts.set(id, ghostOf(file, this.#limit))
    } catch (error) {
      const reason = error instanceof TooLarge ? 'too-large' : 'unreadable'
      const text = error instanceof Error ? error.message : String(error)
      const hint = error instanceof TooLarge ? `; the option contentLimit allows ${this.#limit}` : ''
      this.#findings.refuse({
        reason,
        ...place,
        message: `the deleted file ${link} cannot be kept: ${text}${hint}`,
      })
      return false
    }
    if (file.stats.nlink > 0 && kindOf(file.stats) === S_IFREG) {
      const message = `${link} leads to another file; its content is kept, not its other names, which are not known`
      this.#findings.note({ reason: 'other-name', ...place, message })
    }
    return true
  }
}

const timeOf = (nanoseconds: bigint): { tvSec: bigint; tvUsec: bigint } => ({
  tvSec: nanoseconds / 1_000_000_000n,
  tvUsec: (nanoseconds % 1_000_000_000n) / 1000n,
})

function ghostOf(file: NamedFile, limit: number): Ghost {
  const { stats, at } = file
  const kind = kindOf(stats)
  const extents = kind === S_IFREG ? readContent(at, limit) : []
  const [first] = extents
  const whole = extents.length === 1 && first?.at === 0 && BigInt(first.data.length) === stats.size
  const hasHoles = kind === S_IFREG && !whole && stats.size > 0n
  const entry = makeMessage(GhostFileEntrySchema, {
    uid: stats.uid,
    gid: stats.gid,
    mode: stats.mode,
    dev: kernelDevice(stats.dev),
    ino: stats.ino,
    ...((kind === S_IFCHR || kind === S_IFBLK) && { rdev: Number(stats.rdev) }),
    atim: timeOf(stats.atimeNs),
    mtim: timeOf(stats.mtimeNs),
    ...(hasHoles && { chunks: true, size: stats.size }),
    ...(kind === S_IFLNK && { symlnkTarget: textOfLink(at) }),
  })
  const chunks = extents.map((extent) => ({ at: BigInt(extent.at), data: extent.data }))
  return { entry, chunks }
}

function textOfLink(at: string): string {
  const number = openSync(at, constants.O_RDONLY | O_PATH)
  try {
    const text = binding.textOfLink(number)
    if (typeof text === 'number') throw new Error(`readlinkat: ${textOf(text)}`)
    return text.toString('utf8')
  } finally {
    closeSync(number)
  }
}
