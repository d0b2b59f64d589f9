/** Looks up as a program's thread does, holds leases for a while, and compares what it finds with the shadow. */
import { setMaxListeners } from 'node:events'
import { ReadRecorder } from './history.js'
import { ALWAYS, POINTS, QUERIES, SLOTS, TOTALS } from './shadow.js'

/** Leases held from one lookup to the next. */
const MOST_HELD = 16
/** One lease of so many is held for turns of the event loop: what a drain waits for, and what is forced. */
const LONG = 700
const LONGEST_TURNS = 100

const indexOf = Object.fromEntries(TOTALS.map((name, index) => [name, index]))
const longest = Math.max(...QUERIES.map(({ candidates }) => candidates.length))

export class Looker {
  #lookup
  #shadow
  #random
  #recorder
  #held
  #totals
  #leases = []
  /** Leases, and in how many turns they are given back. */
  #long = []
  #floors = new Int32Array(longest)
  #presence = new Int32Array(longest)
  #inLookup = false

  /** `lookup(target, host)` is the table's or a member's. */
  constructor({ lookup, thread, shadow, reads, period, random }) {
    this.#lookup = lookup
    this.#shadow = shadow
    this.#random = random
    this.#recorder = new ReadRecorder(reads[thread], shadow.words, period)
    this.#held = shadow.held.subarray(thread * SLOTS, (thread + 1) * SLOTS)
    this.#totals = shadow.totals.subarray(thread * TOTALS.length, (thread + 1) * TOTALS.length)
  }

  count(name) {
    this.#totals[indexOf[name]]++
  }

  /** What `prepare` makes: it counts its own leases in this thread. */
  handlerOf(mount) {
    this.count('prepared')
    return { generation: mount.generation, point: mount.spec.point, leases: 0, disposed: false }
  }

  /** What `dispose` does. */
  dispose(handler) {
    this.count('disposed')
    if (handler.leases > 0) this.count('disposedUnderLease')
    handler.disposed = true
  }

  /** One turn: so many lookups, and what is due goes back. */
  turn(lookups) {
    for (let done = 0; done < lookups; done++) {
      // Two of three at the point that never rests.
      const query = QUERIES[this.#random(3) > 0 ? this.#random(2) : this.#random(QUERIES.length)]
      const lease = this.#look(query)
      if (lease === undefined) continue
      if (this.#random(LONG) === 0) this.#keep(lease)
      else if (query.candidates[0] === ALWAYS) this.#drop(lease)
      else this.#leases.push(lease)
      while (this.#leases.length > this.#random(MOST_HELD)) this.#dropOneOf(this.#leases)
    }
    this.#long = this.#long.filter((each) => {
      if (each.turns-- > 0) return true
      this.#drop(each.lease)
      return false
    })
  }

  letGo() {
    for (const lease of this.#leases.splice(0)) this.#drop(lease)
    for (const { lease } of this.#long.splice(0)) this.#drop(lease)
  }

  #look({ target, host, candidates }) {
    const { floor, presence } = this.#shadow
    for (let index = 0; index < candidates.length; index++) {
      this.#presence[index] = Atomics.load(presence, candidates[index])
      this.#floors[index] = Atomics.load(floor, candidates[index])
    }
    const invoked = this.#recorder.invoke()
    this.#inLookup = true
    const lease = this.#lookup(target, host)
    this.#inLookup = false
    const found = lease?.mount.spec.point
    if (invoked !== undefined) this.#recorder.respond(invoked, candidates, found, lease?.mount.generation)
    if (lease !== undefined) {
      Atomics.add(this.#held, lease.mount.slot, 1)
      lease.handler.leases++
    }
    this.#compare(lease, found, candidates)
    return lease
  }

  #compare(lease, found, candidates) {
    const { presence, cleaned, seen } = this.#shadow
    this.count('lookups')
    if (candidates[0] === ALWAYS) this.count('alwaysLookups')
    let index = 0
    for (; index < candidates.length && candidates[index] !== found; index++) {
      const before = this.#presence[index]
      // It was mounted from before the lookup until after it, and was not found.
      if ((before & 1) === 0 && Atomics.load(presence, candidates[index]) === before) {
        this.count(candidates[index] === ALWAYS ? 'alwaysMisses' : 'missesOfMounted')
      }
    }
    if (lease === undefined) return
    this.count('hits')
    const { handler, mount } = lease
    const point = POINTS[found]
    if (
      index === candidates.length ||
      mount.prefix !== point.prefix ||
      mount.host !== point.host ||
      handler.generation !== mount.generation
    ) {
      this.count('misrouted')
    } else if (mount.generation < this.#floors[index]) this.count('older')
    if (Atomics.load(cleaned, mount.generation) === 1) this.count('cleanedLeases')
    if (handler.disposed) this.count('disposedLeases')
    seen[mount.generation] = 1
  }

  #keep(lease) {
    this.#long.push({ lease, turns: this.#random(LONGEST_TURNS) })
    setMaxListeners(0, lease.signal)
    lease.signal.addEventListener('abort', () => {
      this.count('aborts')
      if (this.#inLookup) this.count('abortsInLookup')
    })
  }

  #dropOneOf(leases) {
    const at = this.#random(leases.length)
    const lease = leases[at]
    leases[at] = leases.at(-1)
    leases.pop()
    this.#drop(lease)
  }

  #drop(lease) {
    if (Atomics.load(this.#shadow.cleaned, lease.mount.generation) === 2) this.count('lateReleases')
    lease.handler.leases--
    Atomics.sub(this.#held, lease.mount.slot, 1)
    lease.release()
  }
}
