import { closeSync, constants, openSync } from 'node:fs'
import type { PipeData } from '../images/image-set.ts'
import { FdType, makeMessage, PipeDataEntrySchema } from '../images/messages.ts'
import { binding } from './binding.ts'
import { EPERM, textOf } from './errno.ts'
import type { FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import { pathOf, placeOf, titleOf, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'
import type { RegularFiles } from './regular-files.ts'

const F_GETPIPE_SZ = 1032
const FIONREAD = 0x541b
const { O_WRONLY, O_RDONLY, O_NONBLOCK } = constants
const O_ACCMODE = 3

const isReadable = ({ info }: OpenFile): boolean => (info.flags & O_ACCMODE) !== O_WRONLY

/** Pipes and FIFOs, and what lies in them. */
export class Pipes {
  readonly pipes: PipeData[] = []
  readonly fifos: PipeData[] = []
  readonly #files: FileList
  readonly #findings: Findings
  readonly #regular: RegularFiles
  /** Ids by device and inode. */
  readonly #ids = new Map<string, number>()
  readonly #taken = new Set<number>()
  readonly #seen = new Set<number>()

  constructor(files: FileList, findings: Findings, regular: RegularFiles) {
    this.#files = files
    this.#findings = findings
    this.#regular = regular
  }

  addPipe(file: OpenFile): void {
    const { id, info, number } = file
    const pipeId = this.#idOf(file)
    const fown = ownerOf(number)
    this.#files.add({ type: FdType.PIPE, id, pipe: { id, pipeId, flags: info.flags, fown } })
    this.#read(file, pipeId, this.pipes)
  }

  addFifo(file: OpenFile): void {
    const { id, info, number, holder, link, stats } = file
    const regfId = this.#files.newId()
    const { flags, position } = info
    const fown = ownerOf(number)
    const place = placeOf(file)
    this.#regular.add({ id: regfId, link, stats, at: pathOf(file), holder, flags, position, fown, place })
    const pipeId = this.#idOf(file)
    this.#files.add({ type: FdType.FIFO, id, fifo: { id, pipeId, regfId } })
    this.#read(file, pipeId, this.fifos)
  }

  /** Its inode, or another number where that is taken, by a FIFO of another file system, or too large. */
  #idOf({ stats }: OpenFile): number {
    const key = `${stats.dev}:${stats.ino}`
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    let id = stats.ino <= 0xffffffffn ? Number(stats.ino) : 1
    while (this.#taken.has(id)) id = (id + 1) >>> 0
    this.#taken.add(id)
    this.#ids.set(key, id)
    return id
  }

  #read(file: OpenFile, id: number, into: PipeData[]): void {
    if (this.#seen.has(id)) return
    this.#seen.add(id)
    const size = binding.control(file.number, F_GETPIPE_SZ, 0)
    const data = isEmpty(file.number) ? Buffer.alloc(0) : this.#contentOf(file)
    if (data === undefined) return
    into.push({ entry: makeMessage(PipeDataEntrySchema, { pipeId: id, bytes: data.length, size }), data })
  }

  #contentOf(file: OpenFile): Buffer | undefined {
    const content = isReadable(file) ? binding.pipeContent(file.number) : contentThrough(pathOf(file))
    if (typeof content === 'number') {
      const needs = content === EPERM ? '; it needs CAP_SYS_RESOURCE, so large is the pipe' : ''
      const message = `${titleOf(file)} cannot be read: ${textOf(content)}${needs}`
      this.#findings.refuse({ reason: 'unreadable', ...placeOf(file), message })
      return undefined
    }
    // The end to read does not say that the other writes packets (O_DIRECT).
    if (content.packets.length > 1) {
      const message = `${titleOf(file)} is a pipe in packet mode with ${content.packets.length} packets, whose bounds are lost`
      this.#findings.lose({ reason: 'packet-pipe', ...placeOf(file), message })
    }
    return content.bytes
  }
}

function isEmpty(number: number): boolean {
  const count = new Int32Array(1)
  return binding.deviceControl(number, FIONREAD, new Uint8Array(count.buffer)) === 0 && count[0] === 0
}

// Nobody in the tree reads it: an end to read is opened, and closed again.
function contentThrough(path: string): ReturnType<typeof binding.pipeContent> {
  const number = openSync(path, O_RDONLY | O_NONBLOCK)
  try {
    return binding.pipeContent(number)
  } finally {
    closeSync(number)
  }
}
