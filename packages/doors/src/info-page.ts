import { Fd, memfd } from '@x/fdpass'
import { DOOR_REVOKED } from './attributes.ts'
import { binding } from './binding.ts'
import { DoorError } from './errors.ts'

/** Of a page: "door" and the version of the layout (docs/protocol.md). */
const MAGIC = 0x01726f64
const Word = { magic: 0, attributes: 1, pid: 2, descMax: 3 } as const
/** Places of 64 bits. */
const Long = { uniquifier: 2, dataMin: 3, dataMax: 4, cookie: 5 } as const
const HIGH = 2 ** 32

/** What everybody who has the door can see of it (door_info(3C)). */
export interface DoorInfo {
  /** The process that serves it. It is told also when that has gone: the next call is EBADF then. */
  readonly target: number
  /** DOOR_* */
  readonly attributes: number
  /** The one number of this door, of all doors of the system. */
  readonly uniquifier: bigint
  /** A number that the server shows on purpose. */
  readonly cookie: bigint
}

/** Limits of a call's request (door_getparam(3C)). */
export interface DoorLimits {
  readonly dataMin: number
  readonly dataMax: number
  readonly descMax: number
}

/** What a page says, or a copy of one. */
export function infoOf(memory: ArrayBuffer): DoorInfo {
  const words = new Int32Array(memory)
  const longs = new BigInt64Array(memory)
  return {
    target: Atomics.load(words, Word.pid),
    attributes: Atomics.load(words, Word.attributes),
    uniquifier: Atomics.load(longs, Long.uniquifier),
    cookie: Atomics.load(longs, Long.cookie),
  }
}

/** The memory in which a server tells of its door: the server's side writes, all others read, without a call. */
export class InfoPage {
  /** Of the memory, to be passed on; owned by this. */
  readonly file: Fd
  readonly #memory: ArrayBuffer
  readonly #words: Int32Array
  readonly #longs: BigInt64Array
  readonly #halves: Uint32Array

  private constructor(file: Fd, memory: ArrayBuffer) {
    this.file = file
    this.#memory = memory
    this.#words = new Int32Array(memory)
    this.#longs = new BigInt64Array(memory)
    this.#halves = new Uint32Array(memory)
  }

  static make(uniquifier: bigint, cookie: bigint, attributes: number, limits: DoorLimits): InfoPage {
    const file = memfd('door')
    const memory = binding.makeInfoPage(file.fd)
    if (typeof memory === 'number') {
      file.close()
      throw new DoorError(memory, 'door_create')
    }
    const page = new InfoPage(file, memory)
    page.#longs[Long.uniquifier] = uniquifier
    page.#longs[Long.cookie] = cookie
    page.#words[Word.pid] = process.pid
    page.limits = limits
    page.attributes = attributes
    Atomics.store(page.#words, Word.magic, MAGIC)
    return page
  }

  /** Takes the file of another process's page, which it closes when that is none. */
  static of(file: Fd): InfoPage | undefined {
    const memory = binding.mapInfoPage(file.fd)
    const page = typeof memory === 'number' ? undefined : new InfoPage(file, memory)
    if (page !== undefined && Atomics.load(page.#words, Word.magic) === MAGIC) return page
    file.close()
    return undefined
  }

  get attributes(): number {
    return Atomics.load(this.#words, Word.attributes)
  }

  set attributes(value: number) {
    // Pairs with the load of whoever looks before a call: what was stored before is there then.
    Atomics.store(this.#words, Word.attributes, value)
  }

  get info(): DoorInfo {
    return infoOf(this.#memory)
  }

  /** Whether a call without descriptors is within the limits, by plain reads: what they refuse is to be looked at again. */
  admits(length: number): boolean {
    const halves = this.#halves
    const most = (halves[2 * Long.dataMax + 1] as number) * HIGH + (halves[2 * Long.dataMax] as number)
    const least = (halves[2 * Long.dataMin + 1] as number) * HIGH + (halves[2 * Long.dataMin] as number)
    return length >= least && length <= most && ((halves[Word.attributes] as number) & DOOR_REVOKED) === 0
  }

  /** The least and the most bytes of a call, without bigints: what is read before each call. */
  get dataMin(): number {
    return this.#long(Long.dataMin)
  }

  get dataMax(): number {
    return this.#long(Long.dataMax)
  }

  get descMax(): number {
    return Atomics.load(this.#words, Word.descMax)
  }

  #long(place: number): number {
    const at = 2 * place
    for (;;) {
      const high = Atomics.load(this.#halves, at + 1)
      const low = Atomics.load(this.#halves, at)
      // The server may have changed it between the halves.
      if (Atomics.load(this.#halves, at + 1) === high) return high * HIGH + low
    }
  }

  get limits(): DoorLimits {
    return { dataMin: this.dataMin, dataMax: this.dataMax, descMax: this.descMax }
  }

  set limits({ dataMin, dataMax, descMax }: DoorLimits) {
    Atomics.store(this.#longs, Long.dataMin, BigInt(dataMin))
    Atomics.store(this.#longs, Long.dataMax, BigInt(dataMax))
    Atomics.store(this.#words, Word.descMax, descMax)
  }

  close(): void {
    this.file.close()
  }
}
