/**
 * Decides whether a recorded history could have happened one operation after the other, each at some moment between
 * its invocation and its response: linearizability (Herlihy and Wing, 1990), by the search of Wing and Gong (1993) with
 * Lowe's memory of configurations that have failed (2017). A history is linearizable when its part at every object is, so each
 * mount point, a host and a prefix, is searched for itself.
 */

export type Kind = 'mount' | 'replace' | 'unmount' | 'lookup'

/** Kind, index of the mount point, generation or 0 for none, and the stamps of invocation and response. */
export type Recorded = readonly [kind: Kind, point: number, value: number, invoked: number, response: number]

export interface History {
  readonly points: readonly string[]
  readonly operations: readonly Recorded[]
}

export interface Operation {
  readonly kind: Kind
  readonly value: number
  readonly invoked: number
  readonly response: number
}

export interface Verdict {
  readonly point: string
  readonly operations: number
  readonly linearizable: boolean
  /** The first operation that no order of those before it explains. */
  readonly stuck?: Operation
}

export function checkHistory({ points, operations }: History): Verdict[] {
  return points.map((point, index) => {
    const own = operations
      .filter((operation) => operation[1] === index)
      .map(([kind, , value, invoked, response]) => ({ kind, value, invoked, response }))
    const stuck = findContradiction(own)
    const verdict = { point, operations: own.length, linearizable: stuck === undefined }
    return stuck === undefined ? verdict : { ...verdict, stuck }
  })
}

/** What is mounted after an operation on a point at which `state` is mounted; undefined when it cannot happen there. */
function apply(state: number, { kind, value }: Operation): number | undefined {
  switch (kind) {
    case 'mount':
      return state === 0 ? value : undefined
    case 'replace':
      return state === 0 ? undefined : value
    case 'unmount':
      return state === 0 ? undefined : 0
    case 'lookup':
      return state === value ? state : undefined
  }
}

/** A configuration: what is mounted, and which operations have happened. */
class Search {
  readonly #operations: readonly Operation[]
  readonly #happened: Uint8Array
  /** All before it have happened. */
  first = 0
  state = 0

  constructor(operations: readonly Operation[]) {
    this.#operations = operations
    this.#happened = new Uint8Array(operations.length)
  }

  get done(): boolean {
    return this.first === this.#operations.length
  }

  /** Operations that may be the next: none that has not happened had ended when they began. */
  next(): number[] {
    const found: number[] = []
    let firstResponse = Infinity
    for (let index = this.first; index < this.#operations.length; index++) {
      const { invoked, response } = this.#operations[index]!
      if (invoked > firstResponse) break
      if (this.#happened[index] === 1) continue
      found.push(index)
      firstResponse = Math.min(firstResponse, response)
    }
    return found
  }

  happen(index: number): void {
    this.state = apply(this.state, this.#operations[index]!)!
    this.#happened[index] = 1
    while (this.#happened[this.first] === 1) this.first++
  }

  takeBack(indices: readonly number[], first: number, state: number): void {
    for (const index of indices) this.#happened[index] = 0
    this.first = first
    this.state = state
  }

  /** Equal for equal configurations. */
  get key(): string {
    const beyond: number[] = []
    let firstResponse = Infinity
    for (let index = this.first; index < this.#operations.length; index++) {
      const { invoked, response } = this.#operations[index]!
      if (invoked > firstResponse) break
      if (this.#happened[index] === 1) beyond.push(index - this.first)
      else firstResponse = Math.min(firstResponse, response)
    }
    return `${this.first} ${this.state} ${beyond.join(',')}`
  }
}

interface Choice {
  /** Changes that may come next, and have not been tried. */
  readonly untried: number[]
  /** What has happened since the choice: a change, and the lookups that it explains. */
  since: number[]
  readonly first: number
  readonly state: number
}

/** The first operation at which every order fails, or undefined when there is an order. */
export function findContradiction(history: readonly Operation[]): Operation | undefined {
  const operations = history.toSorted((a, b) => a.invoked - b.invoked)
  const search = new Search(operations)
  const failed = new Set<string>()
  const choices: Choice[] = []
  let furthest = 0

  /** Lookups change nothing, so whichever fits and may be next can be taken at once, in any order. */
  const takeLookups = (taken: number[]): number[] => {
    for (;;) {
      const next = search.next()
      const fits = next.filter(
        (index) => operations[index]!.kind === 'lookup' && operations[index]!.value === search.state,
      )
      if (fits.length === 0) return next
      for (const index of fits) search.happen(index)
      taken.push(...fits)
    }
  }

  const choose = (taken: number[]): void => {
    const next = takeLookups(taken)
    furthest = Math.max(furthest, search.first)
    const { first, state, key } = search
    const untried = failed.has(key)
      ? []
      : next.filter(
          (index) =>
            operations[index]!.kind !== 'lookup' && apply(search.state, operations[index]!) !== undefined,
        )
    failed.add(key)
    choices.push({ untried, since: [], first, state })
  }

  choose([])
  while (!search.done) {
    const choice = choices.at(-1)
    if (choice === undefined) return operations[furthest]
    search.takeBack(choice.since, choice.first, choice.state)
    const index = choice.untried.shift()
    if (index === undefined) {
      choices.pop()
      continue
    }
    search.happen(index)
    choice.since = [index]
    choose(choice.since)
  }
  return undefined
}
