/** To a state, or to nothing; it makes a chain longer by `length`. */
export interface Edge {
  readonly to: number | undefined
  readonly length: number
}

interface Step {
  readonly state: number
  readonly edges: Iterator<Edge>
  /** The length of the edge that is being followed. */
  pending: number
}

/**
 * The length of the longest chain of edges that begins at each state. An edge back into a chain, which closes a circle,
 * counts nothing. With a stack of its own: chains may be longer than the call stack.
 */
export function longestChains(states: number, edgesOf: (state: number) => Iterable<Edge>): number[] {
  const lengths = new Array<number>(states).fill(0)
  const begun = new Uint8Array(states)
  for (let start = 0; start < states; start++) {
    const walk: Step[] = []
    const enter = (state: number): void => {
      begun[state] = 1
      walk.push({ state, edges: edgesOf(state)[Symbol.iterator](), pending: 0 })
    }
    if (begun[start] === 0) enter(start)
    for (let step = walk.at(-1); step !== undefined; step = walk.at(-1)) {
      const { state, edges } = step
      const next = edges.next()
      if (next.done === true) {
        walk.pop()
        const above = walk.at(-1)
        if (above !== undefined) lengthen(lengths, above.state, (lengths[state] ?? 0) + above.pending)
        continue
      }
      const { to, length } = next.value
      step.pending = length
      if (to === undefined) lengthen(lengths, state, length)
      else if (begun[to] === 0) enter(to)
      else lengthen(lengths, state, (lengths[to] ?? 0) + length)
    }
  }
  return lengths
}

function lengthen(lengths: number[], state: number, length: number): void {
  if ((lengths[state] ?? 0) < length) lengths[state] = length
}
