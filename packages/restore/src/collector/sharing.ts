import { RestoreError } from '../errors.ts'
import { binding } from './binding.ts'
import { textOf } from './errno.ts'
import type { Descriptor } from './open-file.ts'

const KCMP_FILE = 0
export const KCMP_VM = 1
export const KCMP_FILES = 2
export const KCMP_FS = 3
export const KCMP_SIGHAND = 4

/** The order in which kcmp(2) has two objects: 0 for the same. */
export function compare(pid: number, other: number, type: number, index = 0, otherIndex = 0): number {
  const order = binding.compare(pid, other, type, index, otherIndex)
  if (order < 0) {
    const message = `processes ${pid} and ${other} cannot be compared: ${textOf(order)}; it needs CAP_SYS_PTRACE`
    throw new RestoreError([{ reason: 'not-permitted', pid, message }], { errno: order, syscall: 'kcmp' })
  }
  return order === 1 ? -1 : order === 0 ? 0 : 1
}

const compareFiles = (a: Descriptor, b: Descriptor): number => compare(a.pid, b.pid, KCMP_FILE, a.fd, b.fd)

/** One open file description, and those who have it. */
interface Shared<T> {
  readonly first: Descriptor
  readonly value: T
}

// What two descriptors of one description have in common, so that few have to be compared.
const likeness = ({ stats, info }: Descriptor): string =>
  `${stats.dev}:${stats.ino}:${info.flags}:${info.mountId}`

/**
 * Tells which descriptors are of one open file description. Those that look alike are sorted by the order that kcmp(2)
 * gives, so that a new one is found with a logarithm of comparisons.
 */
export class Sharing<T> {
  readonly #alike = new Map<string, Shared<T>[]>()

  /** The value of the description of `descriptor`; `make` gives it to one that has not been seen. */
  of(descriptor: Descriptor, make: () => T): { readonly value: T; readonly isNew: boolean } {
    const key = likeness(descriptor)
    let alike = this.#alike.get(key)
    if (alike === undefined) this.#alike.set(key, (alike = []))
    let low = 0
    for (let high = alike.length; low < high;) {
      const middle = (low + high) >>> 1
      const at = alike[middle] as Shared<T>
      const order = compareFiles(descriptor, at.first)
      if (order === 0) return { value: at.value, isNew: false }
      if (order < 0) high = middle
      else low = middle + 1
    }
    const value = make()
    alike.splice(low, 0, { first: descriptor, value })
    return { value, isNew: true }
  }
}

/** Gives the same number to processes that share an object (KCMP_FILES, KCMP_FS), from `first` on. */
export class SharedObjects {
  readonly #type: number
  readonly #sorted: { pid: number; id: number }[] = []
  #next: number

  constructor(type: number, first: number) {
    this.#type = type
    this.#next = first
  }

  idOf(pid: number): number {
    let low = 0
    for (let high = this.#sorted.length; low < high;) {
      const middle = (low + high) >>> 1
      const at = this.#sorted[middle] as { pid: number; id: number }
      const order = compare(pid, at.pid, this.#type)
      if (order === 0) return at.id
      if (order < 0) high = middle
      else low = middle + 1
    }
    const id = this.#next++
    this.#sorted.splice(low, 0, { pid, id })
    return id
  }
}
