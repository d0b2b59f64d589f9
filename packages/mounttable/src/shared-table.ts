import { Bell } from './bell.ts'
import { MountTableError } from './errors.ts'

/**
 * The words that all threads share, and the protocol on them.
 *
 * Layout, in 32-bit words: a header of 16, one state word a slot, then one stripe a member. A stripe is a count
 * of references a slot (32-bit, atomic) and the id of its owner, followed by a count of leases taken a slot
 * (float64, written by the stripe's owner alone). Stripes start on lines of their own, so that no two threads
 * write one cache line.
 *
 * All Atomics are sequentially consistent. A reader adds to its count and then loads the state; the one who
 * drains changes the state and then sums the counts. In any order of the four, either the reader sees DRAINING
 * and goes out again, or the sum sees the reader. From DRAINING on no count rises for good, so a count read as 0
 * stays 0 and the sum needs no atomicity of its own.
 */

/** States of a slot, the low three bits of its word; the generation is above them. */
export const FREE = 0
export const INIT = 1
export const ACTIVE = 2
export const DRAINING = 3
export const DRAINED = 4

/** States of the table. */
export const RUNNING = 1
export const STOPPING = 2
export const CLOSED = 3

const LAYOUT = 0x4d540002
const HEADER_WORDS = 16
const LAYOUT_WORD = 0
const SLOTS_WORD = 1
const STRIPES_WORD = 2
const VERSION_WORD = 3
const TABLE_STATE_WORD = 4
const GENERATION_WORD = 5
const MEMBER_WORD = 6
const EPOCH_WORD = 7
const BELL_WORD = 8

/** Two cache lines: the hardware prefetches neighbours in pairs. */
const LINE_WORDS = 32
const GENERATIONS = 2 ** 29

export const MAX_SLOTS: number = 2 ** 20
export const MAX_STRIPES = 1025
/** Leases of one slot in one stripe. Far from the sign bit, so that a refused one does not reach it either. */
const MOST_REFERENCES: number = 2 ** 30
/** Indices of words are 32-bit numbers in all engines that way, and no one needs more. */
const MOST_BYTES: number = 2 ** 32
/** The owner word of a stripe that nobody has. While it is reserved, the word is the id's negative. */
const NOBODY = 0

const align = (words: number): number => Math.ceil(words / LINE_WORDS) * LINE_WORDS
const stateWords = (slots: number): number => align(HEADER_WORDS + slots)
/** The owner's word follows the counts. */
const countWords = (slots: number): number => align(slots + 1)
const stripeWords = (slots: number): number => countWords(slots) + align(2 * slots)
const tableBytes = (slots: number, stripes: number): number =>
  4 * (stateWords(slots) + stripes * stripeWords(slots))

/** The word of a slot. A generation uses all 29 bits above the state, so the word may be negative. */
export const slotWord = (generation: number, state: number): number => (generation << 3) | state
export const generationOf = (word: number): number => word >>> 3
export const stateOf = (word: number): number => word & 7

export class SharedTable {
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  readonly slots: number
  readonly stripes: number
  readonly #words: Int32Array
  readonly #served: Float64Array

  private constructor(
    buffer: ArrayBuffer | SharedArrayBuffer,
    words: Int32Array,
    slots: number,
    stripes: number,
  ) {
    this.buffer = buffer
    this.#words = words
    this.#served = new Float64Array(buffer)
    this.slots = slots
    this.stripes = stripes
  }

  /**
   * With a single stripe there is nobody to share with, and the memory is an ordinary buffer.
   *
   * @throws MountTableError EINVAL when there is not so much memory.
   */
  static create(slots: number, stripes: number): SharedTable {
    const bytes = tableBytes(slots, stripes)
    let table: SharedTable
    try {
      if (bytes > MOST_BYTES) throw new RangeError(`more than ${MOST_BYTES} bytes`)
      const buffer = stripes === 1 ? new ArrayBuffer(bytes) : new SharedArrayBuffer(bytes)
      table = new SharedTable(buffer, new Int32Array(buffer), slots, stripes)
    } catch (cause) {
      throw new MountTableError(
        'EINVAL',
        'MountTable',
        `${bytes} bytes of shared memory cannot be had; lower 'slots' or 'members'`,
        { cause },
      )
    }
    const words = table.#words
    words[LAYOUT_WORD] = LAYOUT
    words[SLOTS_WORD] = slots
    words[STRIPES_WORD] = stripes
    words[TABLE_STATE_WORD] = RUNNING
    return table
  }

  /** @throws MountTableError ERR_MOUNT_LAYOUT when the buffer was not made by this version of the package. */
  static open(buffer: unknown, syscall = 'attach'): SharedTable {
    if (buffer instanceof SharedArrayBuffer && buffer.byteLength >= 4 * HEADER_WORDS) {
      const words = new Int32Array(buffer)
      const [layout, slots = 0, stripes = 0] = words
      if (layout === LAYOUT && buffer.byteLength === tableBytes(slots, stripes)) {
        return new SharedTable(buffer, words, slots, stripes)
      }
    }
    throw new MountTableError(
      'ERR_MOUNT_LAYOUT',
      syscall,
      'this was not made by the same version of @x/mounttable; pass on what its table gave out',
    )
  }

  /** Pairs with {@link version}'s store: who loads the new version finds its message in its port's queue. */
  get version(): number {
    return Atomics.load(this.#words, VERSION_WORD)
  }

  set version(version: number) {
    Atomics.store(this.#words, VERSION_WORD, version)
  }

  get tableState(): number {
    return Atomics.load(this.#words, TABLE_STATE_WORD)
  }

  set tableState(state: number) {
    Atomics.store(this.#words, TABLE_STATE_WORD, state)
  }

  /** Rises when a control thread takes the table over from one that has ended. */
  get epoch(): number {
    return Atomics.load(this.#words, EPOCH_WORD)
  }

  /** Rung by members of an earlier epoch: the port they have leads nowhere. */
  get bell(): Bell {
    return new Bell(this.#words, BELL_WORD)
  }

  /**
   * Begins a new epoch, when the control thread of the last one has ended. Nothing is active after it: what was drains,
   * and what was being prepared never was.
   */
  takeOver(): void {
    Atomics.add(this.#words, EPOCH_WORD, 1)
    // By two: a member may have a message of the version after this one, which its sender did not live to store.
    Atomics.add(this.#words, VERSION_WORD, 2)
    // After the version: who fails to take a lease looks at it, and finds the new epoch.
    for (let slot = 0; slot < this.slots; slot++) {
      const word = this.word(slot)
      if (stateOf(word) === INIT) this.setWord(slot, slotWord(generationOf(word), FREE))
      else if (stateOf(word) === ACTIVE) this.exchange(slot, word, DRAINING)
    }
  }

  word(slot: number): number {
    return Atomics.load(this.#words, HEADER_WORDS + slot)
  }

  /** Only the control thread calls this, and never on a slot that another thread could move. */
  setWord(slot: number, word: number): void {
    Atomics.store(this.#words, HEADER_WORDS + slot, word)
  }

  /** The last number of a generation has been given. */
  get exhausted(): boolean {
    return Atomics.load(this.#words, GENERATION_WORD) === GENERATIONS - 1
  }

  /**
   * Puts the table's next generation into a free slot. After 2^29 of them the numbers start again, which is for a
   * time when no generation exists.
   */
  nextGeneration(slot: number): number {
    const generation = (Atomics.load(this.#words, GENERATION_WORD) + 1) % GENERATIONS
    Atomics.store(this.#words, GENERATION_WORD, generation)
    this.setWord(slot, slotWord(generation, INIT))
    return generation
  }

  /** Leases of the slot, of all members. */
  references(slot: number): number {
    let sum = 0
    for (let stripe = 0; stripe < this.stripes; stripe++) sum += this.stripeReferences(stripe, slot)
    return sum
  }

  /** Leases of all slots, of all members. */
  total(): number {
    let sum = 0
    for (let slot = 0; slot < this.slots; slot++) sum += this.references(slot)
    return sum
  }

  /** Leases of the slot, a number a stripe. */
  counts(slot: number): number[] {
    return Array.from({ length: this.stripes }, (_, stripe) => this.stripeReferences(stripe, slot))
  }

  stripeReferences(stripe: number, slot: number): number {
    return Atomics.load(this.#words, this.#stripeStart(stripe) + slot)
  }

  /**
   * Moves the slot from DRAINING to DRAINED if nobody holds a lease. True for the one caller in all threads whose
   * exchange did it: this is what makes a clean-up happen once.
   */
  settle(slot: number): boolean {
    const word = this.word(slot)
    if (stateOf(word) !== DRAINING) return false
    for (let stripe = 0; stripe < this.stripes; stripe++) {
      if (this.stripeReferences(stripe, slot) !== 0) return false
    }
    return this.exchange(slot, word, DRAINED)
  }

  /** Changes the state of a slot if its word still is `word`. */
  exchange(slot: number, word: number, state: number): boolean {
    const next = slotWord(generationOf(word), state)
    return Atomics.compareExchange(this.#words, HEADER_WORDS + slot, word, next) === word
  }

  /** Leases ever taken of the slot in its current use, of all members. */
  served(slot: number): number {
    let sum = 0
    for (let stripe = 0; stripe < this.stripes; stripe++) sum += this.stripeServed(stripe, slot)
    return sum
  }

  stripeServed(stripe: number, slot: number): number {
    return this.#served[this.#servedStart(stripe) + slot] ?? 0
  }

  /** Only before a use of a free slot, when no lease of the last one is held: then no member writes here. */
  clearServed(slot: number): void {
    for (let stripe = 0; stripe < this.stripes; stripe++) {
      this.#served[this.#servedStart(stripe) + slot] = 0
    }
  }

  /** Keeps a stripe for a new member, and returns its id: no other one had it or will have it. */
  reserve(stripe: number): number {
    const id = Atomics.add(this.#words, MEMBER_WORD, 1) + 1
    Atomics.store(this.#words, this.#ownerIndex(stripe), -id)
    return id
  }

  /** The id of the member that has joined with the stripe; undefined when nobody has, or has left. */
  owner(stripe: number): number | undefined {
    const id = Atomics.load(this.#words, this.#ownerIndex(stripe))
    return id > 0 ? id : undefined
  }

  /**
   * Makes the calling thread the owner of the stripe that was reserved for it.
   *
   * @throws MountTableError ERR_MOUNT_ATTACHED when it is already; EBADF when the stripe is no longer kept for it.
   */
  claim(stripe: number, id: number, epoch: number): Stripe {
    const found = Atomics.compareExchange(this.#words, this.#ownerIndex(stripe), -id, id)
    if (found === id) {
      throw new MountTableError(
        'ERR_MOUNT_ATTACHED',
        'attach',
        'this handle has been attached before; call share() for each member',
      )
    }
    if (found !== -id || this.epoch !== epoch) throw letGo('attach')
    return this.stripe(stripe)
  }

  /** Takes a stripe from its owner, and forgets what it counted. The owner's thread has ended, or should have. */
  clearStripe(stripe: number): void {
    const start = this.#stripeStart(stripe)
    // First: who runs all the same finds that the stripe is not its own, and leaves the counts alone.
    Atomics.store(this.#words, this.#ownerIndex(stripe), NOBODY)
    for (let slot = 0; slot < this.slots; slot++) Atomics.store(this.#words, start + slot, 0)
    const served = this.#servedStart(stripe)
    this.#served.fill(0, served, served + this.slots)
  }

  /** The stripe as its owner of this moment. */
  stripe(stripe: number): Stripe {
    return new Stripe(this, this.#words, this.#stripeStart(stripe), this.#served, this.#servedStart(stripe))
  }

  #ownerIndex(stripe: number): number {
    return this.#stripeStart(stripe) + this.slots
  }

  #stripeStart(stripe: number): number {
    return stateWords(this.slots) + stripe * stripeWords(this.slots)
  }

  /** In units of 64 bits: every part of a stripe starts on a line, so the halves are whole. */
  #servedStart(stripe: number): number {
    return (this.#stripeStart(stripe) + countWords(this.slots)) / 2
  }
}

const letGo = (syscall: string): MountTableError =>
  new MountTableError(
    'EBADF',
    syscall,
    'the control thread has let go of this member; attach() with another handle',
  )

/** A thread's own end: the only one that adds to these counts. */
export class Stripe {
  readonly #table: SharedTable
  readonly #words: Int32Array
  readonly #start: number
  readonly #ownerIndex: number
  readonly #owner: number
  readonly #epoch: number
  readonly #served: Float64Array
  readonly #servedStart: number

  constructor(
    table: SharedTable,
    words: Int32Array,
    start: number,
    served: Float64Array,
    servedStart: number,
  ) {
    this.#table = table
    this.#words = words
    this.#start = start
    this.#ownerIndex = start + table.slots
    this.#owner = Atomics.load(words, this.#ownerIndex)
    this.#epoch = table.epoch
    this.#served = served
    this.#servedStart = servedStart
  }

  /** The same as the table's, without a call between. */
  get version(): number {
    return Atomics.load(this.#words, VERSION_WORD)
  }

  /** @throws MountTableError EBADF when the control thread that this member belongs to has let go of it. */
  check(syscall: string): void {
    if (!this.#owned || this.#table.epoch !== this.#epoch) throw letGo(syscall)
  }

  /**
   * Counts the caller in, then looks whether the slot still is in the state it expects. Whatever the answer, the
   * caller is counted and has to release: who goes out may be the last one a drain waits for.
   *
   * @throws MountTableError EBADF when the stripe is another's by now, ERR_MOUNT_REFERENCES; then it is not counted.
   */
  acquire(slot: number, active: number): boolean {
    const words = this.#words
    // Plain: who loses the stripe in this very moment was declared dead while it ran.
    if (words[this.#ownerIndex] !== this.#owner) throw letGo('lookup')
    // Pairs with settle(): add before load here, exchange before sum there.
    if (Atomics.add(words, this.#start + slot, 1) >= MOST_REFERENCES) this.#refuse(slot)
    if (Atomics.load(words, HEADER_WORDS + slot) !== active) return false
    // Plain: this thread alone writes it, and a reader of statistics may be a few behind.
    const index = this.#servedStart + slot
    this.#served[index] = (this.#served[index] ?? 0) + 1
    return true
  }

  /** Counts the caller out. True when that made the slot DRAINED: then the caller tells the control thread. */
  release(slot: number): boolean {
    const words = this.#words
    if (words[this.#ownerIndex] !== this.#owner) return false
    Atomics.sub(words, this.#start + slot, 1)
    return (Atomics.load(words, HEADER_WORDS + slot) & 7) === DRAINING && this.#table.settle(slot)
  }

  /** Leases this thread holds of a slot. */
  references(slot: number): number {
    return this.#owned ? Atomics.load(this.#words, this.#start + slot) : 0
  }

  /** Leases this thread holds, of all slots. */
  held(): number {
    if (!this.#owned) return 0
    let sum = 0
    for (let slot = 0; slot < this.#table.slots; slot++) sum += Atomics.load(this.#words, this.#start + slot)
    return sum
  }

  /** Gives the stripe up, when no lease is held. */
  leave(): void {
    Atomics.compareExchange(this.#words, this.#ownerIndex, this.#owner, NOBODY)
  }

  get #owned(): boolean {
    return this.#words[this.#ownerIndex] === this.#owner
  }

  #refuse(slot: number): never {
    Atomics.sub(this.#words, this.#start + slot, 1)
    throw new MountTableError(
      'ERR_MOUNT_REFERENCES',
      'lookup',
      `this thread holds ${MOST_REFERENCES} leases of one mount; release() is not called`,
    )
  }
}
