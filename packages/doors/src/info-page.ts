import { Fd, memfd } from '@x/fdpass'
import { binding } from './binding.ts'
import { DoorError } from './errors.ts'

/** Of a page: "door" and the version of the layout (docs/protocol.md). */
const MAGIC = 0x01726f64
const Word = { magic: 0, attributes: 1, pid: 2, descMax: 3 } as const
/** Places of 64 bits. */
const Long = { uniquifier: 2, dataMin: 3, dataMax: 4, cookie: 5 } as const

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

/** The memory in which a server tells of its door: the server's side writes, all others read, without a call. */
export class InfoPage {
  /** Of the memory, to be passed on; owned by this. */
  readonly file: Fd
  readonly #words: Int32Array
  readonly #longs: BigInt64Array

  private constructor(file: Fd, memory: ArrayBuffer) {
    this.file = file
    this.#words = new Int32Array(memory)
    this.#longs = new BigInt64Array(memory)
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
    return {
      target: Atomics.load(this.#words, Word.pid),
      attributes: this.attributes,
      uniquifier: Atomics.load(this.#longs, Long.uniquifier),
      cookie: Atomics.load(this.#longs, Long.cookie),
    }
  }

  get limits(): DoorLimits {
    return {
      dataMin: Number(Atomics.load(this.#longs, Long.dataMin)),
      dataMax: Number(Atomics.load(this.#longs, Long.dataMax)),
      descMax: Atomics.load(this.#words, Word.descMax),
    }
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
