import type { MessageInitShape } from '@bufbuild/protobuf'
import { type EventpollTfdEntrySchema, FdType } from '../images/messages.ts'
import { binding } from './binding.ts'
import { kernelDevice } from './device-number.ts'
import { hexadecimal, pairsOf } from './fdinfo.ts'
import type { FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import { placeOf, titleOf, type Descriptor, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'

type Watch = MessageInitShape<typeof EventpollTfdEntrySchema> & {
  tfd: number
  addedAs?: number
  dev: number
  inode: bigint
  nth: number
}

/** Descriptors of a process by number. */
export type TableOf = (pid: number) => ReadonlyMap<number, Descriptor>
/** All that hold a file: process, and number in its table. */
export type HoldersOf = (file: number) => readonly Descriptor[]

const SOCKFS_IS_UNIQUE = 'socket:['

function watchesOf(file: OpenFile): Watch[] {
  const counts = new Map<number, number>()
  return file.info.lines
    .filter((line) => line.startsWith('tfd:'))
    .map((line) => {
      const pairs = pairsOf(line)
      const tfd = Number(pairs.get('tfd') ?? '0')
      const nth = counts.get(tfd) ?? 0
      counts.set(tfd, nth + 1)
      return {
        id: 0,
        tfd,
        events: hexadecimal(pairs, 'events'),
        data: BigInt(`0x${pairs.get('data') ?? '0'}`),
        dev: hexadecimal(pairs, 'sdev'),
        inode: BigInt(`0x${pairs.get('ino') ?? '0'}`),
        pos: BigInt(pairs.get('pos') ?? '0'),
        nth,
      }
    })
}

const looksLike = (descriptor: Descriptor | undefined, watch: Watch): descriptor is Descriptor =>
  descriptor?.stats.ino === watch.inode && kernelDevice(descriptor.stats.dev) === watch.dev

/** Epoll instances. What is watched is a file under the number that it had; the number may be another file's by now. */
export class EpollFiles {
  readonly #files: FileList
  readonly #findings: Findings
  readonly #added: { readonly file: OpenFile; readonly watches: Watch[] }[] = []

  constructor(files: FileList, findings: Findings) {
    this.#files = files
    this.#findings = findings
  }

  add(file: OpenFile): void {
    const { id, info, number } = file
    const watches = watchesOf(file)
    this.#files.add({
      type: FdType.EVENTPOLL,
      id,
      epfd: { id, flags: info.flags, fown: ownerOf(number), tfd: watches },
    })
    this.#added.push({ file, watches })
  }

  /** Finds a number for each watch, once all tables are known. */
  finish(tableOf: TableOf, holdersOf: HoldersOf): void {
    for (const { file, watches } of this.#added) {
      const holders = holdersOf(file.id)
      for (const watch of watches.splice(0)) {
        const number = numberFor(watch, holders, tableOf)
        if (number === undefined) this.#refuse(file, watch)
        else if (number === watch.tfd) watches.push(watch)
        else watches.push({ ...watch, tfd: number, addedAs: watch.tfd })
      }
    }
  }

  #refuse(file: OpenFile, { tfd }: Watch): void {
    const message = `${titleOf(file)} watches what was descriptor ${tfd}, and no process that has it has that file any more`
    this.#findings.lose({ reason: 'lost-watch', ...placeOf(file), message })
  }
}

// The holder that has it under its own number first, then one that has it under another.
function numberFor(watch: Watch, holders: readonly Descriptor[], tableOf: TableOf): number | undefined {
  for (const holder of holders) {
    const own = tableOf(holder.pid).get(watch.tfd)
    if (looksLike(own, watch) && isWatched(watch, holder, own)) return watch.tfd
  }
  for (const holder of holders) {
    for (const other of tableOf(holder.pid).values()) {
      if (looksLike(other, watch) && isWatched(watch, holder, other)) return other.fd
    }
  }
  return undefined
}

// A socket has one file; of other inodes many files may be open.
const isWatched = (watch: Watch, holder: Descriptor, candidate: Descriptor): boolean =>
  candidate.link.startsWith(SOCKFS_IS_UNIQUE) ||
  binding.compareWatch(holder.pid, candidate.fd, holder.fd, watch.tfd, watch.nth) === 0
