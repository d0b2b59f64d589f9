/** An event, or a change: FreeBSD's `struct kevent`. */
export interface KEvent {
  /** A descriptor for READ and WRITE; for USER and TIMER any integer. */
  ident: number
  filter: number
  flags: number
  fflags: number
  data: number
  /** Comes back with each event. A number, because objects cannot cross threads. */
  udata: number
}

/** A change to a queue; what is left out is 0. */
export type KEventChange = Pick<KEvent, 'ident' | 'filter'> & Partial<KEvent>

const RECORD = 32
const HIGH = 2 ** 32

/**
 * A preallocated list of `struct kevent` records, for calls that allocate nothing. The layout is FreeBSD's,
 * little endian, 32 bytes a record:
 *
 * | field  | type    | offset |
 * | ------ | ------- | ------ |
 * | ident  | int64   | 0      |
 * | filter | int16   | 8      |
 * | flags  | uint16  | 10     |
 * | fflags | uint32  | 12     |
 * | data   | int64   | 16     |
 * | udata  | float64 | 24     |
 *
 * Indices are not checked: they are the caller's loop.
 */
export class KEventList {
  /** Bytes of one record. */
  static readonly RECORD: number = RECORD
  readonly capacity: number
  readonly bytes: Uint8Array
  readonly #int16: Int16Array
  readonly #uint16: Uint16Array
  readonly #int32: Int32Array
  readonly #uint32: Uint32Array
  readonly #float64: Float64Array

  /**
   * A new list of `capacity` records, in shared memory, or one over memory that is there (its length a multiple of
   * 32).
   */
  constructor(capacityOrBuffer: number | ArrayBuffer | SharedArrayBuffer) {
    const buffer =
      typeof capacityOrBuffer === 'number'
        ? new SharedArrayBuffer(capacityOrBuffer * RECORD)
        : capacityOrBuffer
    if (buffer.byteLength === 0 || buffer.byteLength % RECORD !== 0) {
      throw new RangeError(
        `A KEventList needs a positive multiple of ${RECORD} bytes, not ${buffer.byteLength}.`,
      )
    }
    this.capacity = buffer.byteLength / RECORD
    this.bytes = new Uint8Array(buffer)
    this.#int16 = new Int16Array(buffer)
    this.#uint16 = new Uint16Array(buffer)
    this.#int32 = new Int32Array(buffer)
    this.#uint32 = new Uint32Array(buffer)
    this.#float64 = new Float64Array(buffer)
  }

  ident(index: number): number {
    return this.#wide(index * 8)
  }
  filter(index: number): number {
    return this.#int16[index * 16 + 4] as number
  }
  flags(index: number): number {
    return this.#uint16[index * 16 + 5] as number
  }
  fflags(index: number): number {
    return this.#uint32[index * 8 + 3] as number
  }
  data(index: number): number {
    return this.#wide(index * 8 + 4)
  }
  udata(index: number): number {
    return this.#float64[index * 4 + 3] as number
  }

  /** Writes a whole record, as EV_SET(3) does. */
  set(index: number, ident: number, filter: number, flags: number, fflags = 0, data = 0, udata = 0): void {
    this.#setWide(index * 8, ident)
    this.#int16[index * 16 + 4] = filter
    this.#uint16[index * 16 + 5] = flags
    this.#uint32[index * 8 + 3] = fflags
    this.#setWide(index * 8 + 4, data)
    this.#float64[index * 4 + 3] = udata
  }

  /** The record as an object. */
  at(index: number): KEvent {
    return {
      ident: this.ident(index),
      filter: this.filter(index),
      flags: this.flags(index),
      fflags: this.fflags(index),
      data: this.data(index),
      udata: this.udata(index),
    }
  }

  /** The first `count` records as objects. */
  toArray(count: number): KEvent[] {
    return Array.from({ length: count }, (_, index) => this.at(index))
  }

  #wide(word: number): number {
    return (this.#int32[word + 1] as number) * HIGH + (this.#uint32[word] as number)
  }

  #setWide(word: number, value: number): void {
    this.#uint32[word] = value
    this.#int32[word + 1] = Math.floor(value / HIGH)
  }
}
