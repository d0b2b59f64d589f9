import type { Fd } from '@x/fdpass'
import { binding, Call } from './binding.ts'
import { bufferOf, descriptorsOf, lengthAt } from './record.ts'
import { SessionFlag } from './wire.ts'

const { numbers } = binding
const scratch = bufferOf(binding.bytes)
/** Calls often have the same length, and a view costs as much as many calls of a function. */
let lastLent = scratch.subarray(0, 1)

/** A call that this thread has taken from a session, and answers. */
export class TakenCall {
  readonly session: number
  readonly sequence: number
  readonly door: number
  /** Its caller sends nothing else before the reply. */
  readonly sequential: boolean
  readonly length: number
  /** This thread's, to be closed. */
  readonly fds: readonly Fd[]
  answered = false
  readonly #inScratch: boolean

  /** Of the record that was left last. */
  constructor(session: number) {
    this.session = session
    this.sequence = (numbers[Call.sequence] as number) >>> 0
    this.door = numbers[Call.door] as number
    this.sequential = ((numbers[Call.flags] as number) & SessionFlag.sequential) !== 0
    this.length = lengthAt(Call.lengthLow)
    this.#inScratch = numbers[Call.inBytes] === 1
    this.fds = descriptorsOf(numbers[Call.descriptors] as number)
  }

  /** Its bytes: `lent` is whether memory is enough that the next take overwrites. To be asked for once, at once. */
  data(lent: boolean): Buffer | null {
    if (this.length === 0) return null
    if (!this.#inScratch) return binding.takenData() ?? null
    if (lent && lastLent.length === this.length) return lastLent
    const view = scratch.subarray(0, this.length)
    if (!lent) return Buffer.from(view)
    lastLent = view
    return view
  }
}
