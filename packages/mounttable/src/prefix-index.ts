const SLASH = 0x2f
const DOT = 0x2e
const PERCENT = 0x25
const QUERY = 0x3f
const LAST_ASCII = 0x7f

const SEED = 0x811c9dc5 | 0
const PRIME = 0x01000193
const FEWEST_BUCKETS = 64

interface Node<T> {
  readonly prefix: string
  readonly hash: number
  /** Undefined in a node that only leads to longer prefixes. */
  value: T | undefined
  /** Nodes one segment longer. */
  children: number
  next: Node<T> | undefined
}

/**
 * Finds the longest prefix of a path that ends where a segment ends.
 *
 * A hash table of all prefixes and of all that lead to them. One pass over the characters hashes the path, asks
 * the table where a segment ends, and finds out whether the path is in canonical form; it makes no strings.
 */
export class PrefixIndex<T extends object> {
  #buckets: (Node<T> | undefined)[] = new Array<Node<T> | undefined>(FEWEST_BUCKETS).fill(undefined)
  #nodes = 0
  #root: T | undefined
  #values = 0
  /** Two prefixes of one length have one hash: from then on hashes alone decide nothing. */
  #collided = false

  get size(): number {
    return this.#values
  }

  get(prefix: string): T | undefined {
    return prefix === '' ? this.#root : this.#node(prefix)?.value
  }

  set(prefix: string, value: T): void {
    if (this.get(prefix) === undefined) this.#values++
    if (prefix === '') this.#root = value
    else this.#insert(prefix).value = value
  }

  delete(prefix: string): void {
    if (this.get(prefix) === undefined) return
    this.#values--
    if (prefix === '') this.#root = undefined
    else {
      const node = this.#node(prefix)
      if (node === undefined) return
      node.value = undefined
      this.#prune(node)
    }
  }

  /**
   * The value of the longest prefix of `path`, which may have a query; undefined when there is none; null when
   * the path is not in canonical form, unless the caller says that it is.
   */
  find(path: string, canonical: boolean): T | undefined | null {
    if (path.charCodeAt(0) !== SLASH) return null
    const buckets = this.#buckets
    const mask = buckets.length - 1
    const length = path.length
    let best: Node<T> | undefined
    let hash = Math.imul(SEED ^ SLASH, PRIME)
    let previous = SLASH
    let index = 1
    for (; ; index++) {
      // A path ends as one with a query does.
      const code = index < length ? path.charCodeAt(index) : QUERY
      if (code <= SLASH || code === QUERY || code > LAST_ASCII) {
        if (
          code === PERCENT ||
          code > LAST_ASCII ||
          (previous === SLASH && (code === SLASH || code === DOT))
        ) {
          if (!canonical) return null
        }
        const ends = code === QUERY
        if ((ends && previous !== SLASH) || code === SLASH) {
          const node = probe(buckets[hash & mask], hash, index)
          if (node?.value !== undefined) best = node
          if (node === undefined) {
            // Nothing longer can match; the rest only has to be canonical.
            if (!ends && !canonical && !isCanonical(path, index)) return null
            break
          }
        }
        if (ends) break
      }
      hash = Math.imul(hash ^ code, PRIME)
      previous = code
    }
    // So far only hashes were compared: cheaper than characters at each segment, and almost never wrong.
    if (best === undefined && !this.#collided) return this.#root
    if (best !== undefined && !this.#collided && path.startsWith(best.prefix)) return best.value
    return this.#findExactly(path)
  }

  /** One segment less at a time, by characters. */
  #findExactly(path: string): T | undefined {
    const query = path.indexOf('?')
    let prefix = query === -1 ? path : path.slice(0, query)
    if (prefix.endsWith('/')) prefix = prefix.slice(0, -1)
    while (prefix !== '') {
      const value = this.#node(prefix)?.value
      if (value !== undefined) return value
      prefix = prefix.slice(0, prefix.lastIndexOf('/'))
    }
    return this.#root
  }

  #node(prefix: string): Node<T> | undefined {
    const hash = hashOf(prefix)
    let node = probe(this.#buckets[hash & (this.#buckets.length - 1)], hash, prefix.length)
    while (node !== undefined && node.prefix !== prefix) node = probe(node.next, hash, prefix.length)
    return node
  }

  #insert(prefix: string): Node<T> {
    const known = this.#node(prefix)
    if (known !== undefined) return known
    const parent = prefix.slice(0, prefix.lastIndexOf('/'))
    if (parent !== '') this.#insert(parent).children++
    if (this.#nodes >= this.#buckets.length) this.#grow()
    const node: Node<T> = { prefix, hash: hashOf(prefix), value: undefined, children: 0, next: undefined }
    this.#collided ||=
      probe(this.#buckets[node.hash & (this.#buckets.length - 1)], node.hash, prefix.length) !== undefined
    this.#link(node)
    this.#nodes++
    return node
  }

  #link(node: Node<T>): void {
    const bucket = node.hash & (this.#buckets.length - 1)
    node.next = this.#buckets[bucket]
    this.#buckets[bucket] = node
  }

  /** Takes out a node that leads nowhere, and then those that led to it alone. */
  #prune(node: Node<T>): void {
    if (node.value !== undefined || node.children > 0) return
    const bucket = node.hash & (this.#buckets.length - 1)
    if (this.#buckets[bucket] === node) this.#buckets[bucket] = node.next
    else {
      let before = this.#buckets[bucket]
      while (before !== undefined && before.next !== node) before = before.next
      if (before !== undefined) before.next = node.next
    }
    this.#nodes--
    const parent = this.#node(node.prefix.slice(0, node.prefix.lastIndexOf('/')))
    if (parent === undefined) return
    parent.children--
    this.#prune(parent)
  }

  #grow(): void {
    const old = this.#buckets
    this.#buckets = new Array<Node<T> | undefined>(old.length * 4).fill(undefined)
    for (let node of old) {
      while (node !== undefined) {
        const next: Node<T> | undefined = node.next
        this.#link(node)
        node = next
      }
    }
  }
}

function hashOf(prefix: string): number {
  let hash = SEED
  for (let index = 0; index < prefix.length; index++) hash = Math.imul(hash ^ prefix.charCodeAt(index), PRIME)
  return hash
}

/** The node with this hash and length of prefix, among those of one bucket. */
function probe<T>(first: Node<T> | undefined, hash: number, length: number): Node<T> | undefined {
  for (let node = first; node !== undefined; node = node.next) {
    if (node.hash === hash && node.prefix.length === length) return node
  }
  return undefined
}

/** Whether a path is in canonical form from `start` on, where a segment ends. */
function isCanonical(path: string, start: number): boolean {
  let previous = 0
  for (let index = start; index < path.length; index++) {
    const code = path.charCodeAt(index)
    if (code <= SLASH || code === QUERY || code > LAST_ASCII) {
      if (code === QUERY) return true
      if (code === PERCENT || code > LAST_ASCII) return false
      if (previous === SLASH && (code === SLASH || code === DOT)) return false
    }
    previous = code
  }
  return true
}
