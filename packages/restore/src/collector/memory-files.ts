import { statfsSync } from 'node:fs'
import type { Memfd } from '../images/image-set.ts'
import { FdType, makeMessage, MemfdInodeEntrySchema } from '../images/messages.ts'
import { binding } from './binding.ts'
import { readContent, TooLarge } from './content.ts'
import type { FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import { pathOf, placeOf, titleOf, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'

const F_GET_SEALS = 1034
const HUGETLBFS_MAGIC = 0x958458f6
const MFD_HUGE_SHIFT = 26
const page = 4096
const present = 4

/** Files of memfd_create(2). */
export class MemoryFiles {
  readonly memfds: Memfd[] = []
  readonly #files: FileList
  readonly #findings: Findings
  readonly #limit: number
  readonly #ids = new Map<bigint, number>()

  constructor(files: FileList, findings: Findings, limit: number) {
    this.#files = files
    this.#findings = findings
    this.#limit = limit
  }

  add(file: OpenFile): void {
    const { id, info, number, stats } = file
    let inodeId = this.#ids.get(stats.ino)
    if (inodeId === undefined) {
      this.#ids.set(stats.ino, (inodeId = this.#ids.size + 1))
      this.#addInode(file, inodeId)
    }
    const memfd = { id, flags: info.flags, pos: info.position, fown: ownerOf(number), inodeId }
    this.#files.add({ type: FdType.MEMFD, id, memfd })
  }

  #addInode(file: OpenFile, inodeId: number): void {
    const { number, stats, link } = file
    const runs = this.#runsOf(file)
    const pages = statfsSync(pathOf(file)).type === HUGETLBFS_MAGIC ? stats.blksize : page
    const inode = makeMessage(MemfdInodeEntrySchema, {
      name: link.slice('/memfd:'.length).replace(/ \(deleted\)$/, ''),
      uid: stats.uid,
      gid: stats.gid,
      size: stats.size,
      shmid: inodeId,
      seals: Math.max(binding.control(number, F_GET_SEALS, 0), 0),
      inodeId: BigInt(inodeId),
      mode: stats.mode,
      ...(pages !== page && { hugetlbFlag: (Math.log2(pages) << MFD_HUGE_SHIFT) >>> 0 }),
    })
    this.memfds.push({ inode, ...(runs.length > 0 && { pagesId: inodeId }), runs })
  }

  #runsOf(file: OpenFile): Memfd['runs'] {
    try {
      return readContent(pathOf(file), this.#limit, page).map(({ at, data }) => {
        const whole = toWholePages(data)
        return { at: BigInt(at), length: BigInt(whole.length), flags: present, data: whole }
      })
    } catch (error) {
      const reason = error instanceof TooLarge ? 'too-large' : 'unreadable'
      const text = error instanceof Error ? error.message : String(error)
      const hint = error instanceof TooLarge ? `; the option contentLimit allows ${this.#limit}` : ''
      const message = `the content of ${titleOf(file)} cannot be kept: ${text}${hint}`
      this.#findings.refuse({ reason, ...placeOf(file), message })
      return []
    }
  }
}

function toWholePages(data: Buffer): Buffer {
  const rest = data.length % page
  return rest === 0 ? data : Buffer.concat([data, Buffer.alloc(page - rest)])
}
