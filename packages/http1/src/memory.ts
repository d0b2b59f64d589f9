import { binding, type NativeEngine } from './binding.ts'
import {
  CONTROL_SIZE,
  counterNames,
  ENTRY_STRIDE,
  FIELD_STRIDE,
  LENGTH_STRIDE,
  RECORD_STRIDE,
} from './layout.ts'
import type { Limits, Timeouts } from './limits.ts'

const ARENA_SIZE = 1024 * 1024
const ACCEPTED_SIZE = 1024
const BODY_PIECE = 64 * 1024

/** The memory of one engine that native code reads and writes, made once and reused by every batch. */
export class Memory {
  readonly native: NativeEngine
  /** What was received: heads, and the body bytes that came with them. */
  readonly arena: Buffer
  readonly records: Int32Array
  readonly fields: Int32Array
  readonly control: Int32Array
  readonly counters: Float64Array
  readonly accepted: Int32Array
  /** Where a piece of a body is read before it is copied for its reader. */
  readonly piece: Buffer

  // What is to be written. These grow with the number of responses in one flush.
  entries: Int32Array = new Int32Array(0)
  lengths: Float64Array = new Float64Array(0)
  out: Buffer
  rearm: Int32Array = new Int32Array(0)
  rearmDrained: Uint8Array = new Uint8Array(0)
  closing: Int32Array = new Int32Array(0)
  capacity = 0

  constructor(limits: Limits, timeouts: Timeouts, batch: number, counters: Float64Array | undefined) {
    this.arena = Buffer.from(new ArrayBuffer(ARENA_SIZE))
    this.piece = Buffer.from(new ArrayBuffer(BODY_PIECE))
    this.out = Buffer.from(new ArrayBuffer(256 * 1024))
    this.records = new Int32Array(batch * RECORD_STRIDE)
    this.fields = new Int32Array(batch * limits.headers * FIELD_STRIDE)
    this.control = new Int32Array(CONTROL_SIZE)
    this.counters = counters ?? new Float64Array(counterNames.length)
    this.accepted = new Int32Array(ACCEPTED_SIZE)
    const options = {
      ...limits,
      batch,
      headTimeout: timeouts.head,
      idleTimeout: timeouts.idle,
      bodyTimeout: timeouts.body,
    }
    const { arena, records, fields, control, accepted } = this
    this.native = new binding.NativeEngine(options, arena, records, fields, control, this.counters, accepted)
    this.growEntries(Math.max(256, batch * 4))
  }

  /** Makes room for at least `capacity` entries and events; what is in the lists stays. */
  growEntries(capacity: number): void {
    const entries = new Int32Array(capacity * ENTRY_STRIDE)
    entries.set(this.entries)
    const lengths = new Float64Array(capacity * LENGTH_STRIDE)
    lengths.set(this.lengths)
    const rearm = new Int32Array(capacity * 2)
    rearm.set(this.rearm)
    const rearmDrained = new Uint8Array(capacity * 2)
    rearmDrained.set(this.rearmDrained)
    const closing = new Int32Array(capacity * 2)
    closing.set(this.closing)
    Object.assign(this, { entries, lengths, rearm, rearmDrained, closing, capacity })
    this.#announce()
  }

  /** Makes the out arena hold at least `size` bytes; what is in it stays. */
  growOut(size: number): void {
    const out = Buffer.from(new ArrayBuffer(Math.max(size, this.out.length * 2)))
    out.set(this.out)
    this.out = out
    this.#announce()
  }

  #announce(): void {
    this.native.setQueue(this.entries, this.lengths, this.out, this.rearm, this.rearmDrained, this.closing)
  }
}
