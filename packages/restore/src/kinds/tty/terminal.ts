import { dirname } from 'node:path'
import { FdType, TtyType, type Tty, type TtyFileEntry } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { Situation } from '../kind.ts'

/** A terminal of the images, with all files that are open on it. */
export interface Terminal {
  /** The path of a side that is opened by its name: of the slave of a pseudoterminal. As it is in the image. */
  readonly name: string
  /** Of a pseudoterminal. */
  readonly index: number | undefined
  /** The other side of a pseudoterminal. Without it in the images, the terminal is hung up. */
  readonly master: Side | undefined
  readonly slave: Side
}

export interface Side {
  /** What the image says of this side. */
  readonly tty: Tty | undefined
  readonly files: readonly File[]
}

interface SideDraft extends Side {
  tty: Tty | undefined
  readonly files: File[]
}

type TerminalDraft = Omit<Terminal, 'slave' | 'master' | 'name'> & {
  name: string
  master: SideDraft | undefined
  readonly slave: SideDraft
}

const DEFAULT_FOLDER = '/dev/pts'

export const ttyEntry = (file: File): TtyFileEntry => file.entry.tty as TtyFileEntry

/** All terminals of the images. */
export class TerminalIndex {
  readonly #infos: ReadonlyMap<number, Tty>
  readonly #situation: Situation
  readonly #terminals = new Map<string, TerminalDraft>()
  readonly #names: ReadonlySet<number>

  constructor(situation: Situation) {
    this.#situation = situation
    this.#infos = new Map(situation.images.ttys.map((tty) => [tty.entry.id, tty]))
    const files = [...situation.model.files.values()].filter(({ type }) => type === FdType.TTY)
    this.#names = new Set(files.map((file) => ttyEntry(file).regfId))
    for (const file of files) this.#addFile(file)
    for (const terminal of this.#terminals.values()) this.#addInfos(terminal)
  }

  get all(): readonly Terminal[] {
    return [...this.#terminals.values()]
  }

  /** What the image says of it; undefined when it says nothing. */
  infoOf(file: File): Tty | undefined {
    return this.#infos.get(ttyEntry(file).ttyInfoId)
  }

  /** Undefined for /dev/tty, which is the terminal of whoever opens it. */
  of(file: File): Terminal | undefined {
    return this.#terminals.get(this.#keyOf(file) ?? '')
  }

  /** Whether a file is only the name of a terminal, which comes into being with it. */
  isName({ id, fles }: File): boolean {
    return fles.length === 0 && this.#names.has(id)
  }

  /** The path that it was opened by. */
  nameOf(file: File): string | undefined {
    return this.#situation.model.files.get(ttyEntry(file).regfId)?.entry.reg?.name
  }

  isMaster(file: File): boolean {
    const entry = this.infoOf(file)?.entry
    return entry?.type === TtyType.PTY && entry.id % 2 === 1
  }

  #keyOf(file: File): string | undefined {
    const entry = this.infoOf(file)?.entry
    if (entry === undefined || entry.type === TtyType.CTTY) return undefined
    return entry.type === TtyType.PTY ? `pty ${indexOf(entry)}` : this.nameOf(file)
  }

  #addFile(file: File): void {
    const key = this.#keyOf(file)
    const entry = this.infoOf(file)?.entry
    if (key === undefined || entry === undefined) return
    const isPty = entry.type === TtyType.PTY
    const known = this.#terminals.get(key)
    const terminal = known ?? {
      name: '',
      index: isPty ? indexOf(entry) : undefined,
      master: undefined,
      slave: { tty: undefined, files: [] },
    }
    this.#terminals.set(key, terminal)
    if (this.isMaster(file)) {
      terminal.master ??= { tty: undefined, files: [] }
      terminal.master.files.push(file)
    } else terminal.slave.files.push(file)
  }

  #addInfos(terminal: TerminalDraft): void {
    const { index, master, slave } = terminal
    const [first] = slave.files
    slave.tty = first === undefined ? this.#infos.get((index ?? 0) * 2) : this.infoOf(first)
    if (master?.files[0] !== undefined) master.tty = this.infoOf(master.files[0])
    const name = first === undefined ? undefined : this.nameOf(first)
    terminal.name = name ?? `${DEFAULT_FOLDER}/${index ?? 0}`
  }
}

function indexOf(entry: Tty['entry']): number {
  return entry.pty?.index ?? entry.id >> 1
}

export function terminals(situation: Situation): TerminalIndex {
  return situation.once('terminals', () => new TerminalIndex(situation))
}

/** Where the slave of a pseudoterminal is, by the folder of its name: an index is one of all terminals in that folder. */
export function slavePath({ name, index }: Terminal, { path }: Situation): string {
  return index === undefined ? path(name) : `${dirname(path(name))}/${index}`
}
