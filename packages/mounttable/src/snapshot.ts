import { canonicalHost } from './path.ts'
import { PrefixIndex } from './prefix-index.ts'

interface Mounted {
  readonly mount: { readonly prefix: string; readonly host: string | undefined }
}

/**
 * What one thread's lookups find: an index of prefixes a host, and one for every host. It belongs to the thread,
 * and changes only between two lookups of it.
 */
export class Snapshot<T extends Mounted> {
  readonly #everyHost = new PrefixIndex<T>()
  readonly #hosts = new Map<string, PrefixIndex<T>>()

  /** Takes the place of what was mounted at the same host and prefix. */
  add(value: T): void {
    const { host, prefix } = value.mount
    let index = host === undefined ? this.#everyHost : this.#hosts.get(host)
    if (index === undefined) {
      index = new PrefixIndex<T>()
      this.#hosts.set(host ?? '', index)
    }
    index.set(keyOf(prefix), value)
  }

  /** Takes out `value`, and nothing that has taken its place. */
  remove(value: T): void {
    const { host, prefix } = value.mount
    const index = host === undefined ? this.#everyHost : this.#hosts.get(host)
    if (index?.get(keyOf(prefix)) !== value) return
    index.delete(keyOf(prefix))
    if (host !== undefined && index.size === 0) this.#hosts.delete(host)
  }

  has(value: T): boolean {
    const { host, prefix } = value.mount
    const index = host === undefined ? this.#everyHost : this.#hosts.get(host)
    return index?.get(keyOf(prefix)) === value
  }

  /**
   * The longest prefix mounted for the host, else the longest mounted for every host. Null when the path is not
   * canonical, unless the caller says that it is.
   */
  find(path: string, host: string | undefined, canonical: boolean): T | undefined | null {
    if (host !== undefined && this.#hosts.size > 0) {
      const found = this.#hosts.get(canonicalHost(host))?.find(path, canonical)
      if (found !== undefined) return found
    }
    return this.#everyHost.find(path, canonical)
  }
}

const keyOf = (prefix: string): string => (prefix === '/' ? '' : prefix)
