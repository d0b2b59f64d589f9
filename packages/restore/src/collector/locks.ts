import { FileLockEntrySchema, makeMessage, type FileLockEntry } from '../images/messages.ts'
import type { Descriptor } from './open-file.ts'

/** `flag` of FileLockEntry. */
const flags: Readonly<Record<string, number>> = { POSIX: 1, FLOCK: 2, OFDLCK: 4, LEASE: 8 }
const types: Readonly<Record<string, number>> = { READ: 0, WRITE: 1, UNLCK: 2 }
const POSIX = 1
const breaking = 4

/**
 * A line of fdinfo: `lock: 1: POSIX  ADVISORY  WRITE 17 fe:00:2613 2 6`. A lock is told of by each descriptor of its
 * file, and one of POSIX by each of its owner's.
 */
export class Locks {
  readonly entries: FileLockEntry[] = []
  readonly #seen = new Set<string>()

  /** `file`: id of what the descriptor is of. */
  add(descriptor: Descriptor, file: number): void {
    for (const line of descriptor.info.lines) {
      if (line.startsWith('lock:')) this.#addLine(line, descriptor, file)
    }
  }

  #addLine(line: string, { pid, fd }: Descriptor, file: number): void {
    const [, , kind = '', mode = '', access = '', , , begin = '0', end = 'EOF'] = line.split(/\s+/)
    const flag = flags[kind]
    const type = types[access]
    if (flag === undefined || type === undefined || mode === 'BREAKER') return
    const start = BigInt(begin)
    const len = end === 'EOF' ? 0n : BigInt(end) - start + 1n
    const owner = flag === POSIX ? `${pid}:${file}` : `${file}`
    const key = `${flag}:${owner}:${begin}:${end}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    const full = mode === 'BREAKING' ? type | breaking : type
    this.entries.push(makeMessage(FileLockEntrySchema, { flag, type: full, pid, fd, start, len }))
  }
}
