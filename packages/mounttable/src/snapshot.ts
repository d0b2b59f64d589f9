import { canonicalHost, LONGEST_HOST } from './host.ts'
import type { Place } from './place.ts'
import { PrefixIndex } from './prefix-index.ts'

interface Mounted {
  readonly mount: Place
}

/**
 * What one thread's lookups find: an index of prefixes a host, one for all names below a host, and one for every
 * host. It belongs to the thread, and changes only between two lookups of it.
 */
export class Snapshot<T extends Mounted> {
  readonly #everyHost = new PrefixIndex<T>()
  readonly #hosts = new Map<string, PrefixIndex<T>>()
  /** By what follows the asterisk, with the dot. */
  readonly #wildcards = new Map<string, PrefixIndex<T>>()

  /** Puts a value, or nothing, in the place of what was mounted there, which it returns. */
  put({ host, prefix }: Place, value: T | undefined): T | undefined {
    const index = this.#indexOf(host)
    const displaced = index?.get(keyOf(prefix))
    if (value !== undefined) (index ?? this.#newIndex(host)).set(keyOf(prefix), value)
    else if (displaced !== undefined) this.remove(displaced)
    return displaced
  }

  /** Takes out `value`, and nothing that has taken its place. */
  remove(value: T): void {
    const { host, prefix } = value.mount
    const index = this.#indexOf(host)
    if (index?.get(keyOf(prefix)) !== value) return
    index.delete(keyOf(prefix))
    if (host === undefined || index.size > 0) return
    if (isWild(host)) this.#wildcards.delete(host.slice(1))
    else this.#hosts.delete(host)
  }

  has(value: T): boolean {
    const { host, prefix } = value.mount
    return this.#indexOf(host)?.get(keyOf(prefix)) === value
  }

  /**
   * The longest prefix mounted for the host, else the longest for the names below the longest host that it is below,
   * else the longest mounted for every host. Null when the path is not canonical, unless the caller says that it is.
   */
  find(path: string, host: string | undefined, canonical: boolean): T | undefined | null {
    if (host !== undefined && (this.#hosts.size > 0 || this.#wildcards.size > 0)) {
      const name = canonicalHost(host)
      const found = this.#hosts.get(name)?.find(path, canonical)
      if (found !== undefined) return found
      const below = this.#findBelow(path, name, canonical)
      if (below !== undefined) return below
    }
    return this.#everyHost.find(path, canonical)
  }

  #findBelow(path: string, name: string, canonical: boolean): T | undefined | null {
    if (this.#wildcards.size === 0 || name.length > LONGEST_HOST) return undefined
    // From one character on: a wildcard stands for one label at least.
    for (let dot = name.indexOf('.', 1); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const found = this.#wildcards.get(name.slice(dot))?.find(path, canonical)
      if (found !== undefined) return found
    }
    return undefined
  }

  #indexOf(host: string | undefined): PrefixIndex<T> | undefined {
    if (host === undefined) return this.#everyHost
    return isWild(host) ? this.#wildcards.get(host.slice(1)) : this.#hosts.get(host)
  }

  #newIndex(host: string | undefined): PrefixIndex<T> {
    const index = new PrefixIndex<T>()
    if (host !== undefined && isWild(host)) this.#wildcards.set(host.slice(1), index)
    else if (host !== undefined) this.#hosts.set(host, index)
    return index
  }
}

const isWild = (host: string): boolean => host.startsWith('*')
const keyOf = (prefix: string): string => (prefix === '/' ? '' : prefix)
