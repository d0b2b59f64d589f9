import { Fd } from '@x/fdpass'
import { binding, RECORD } from './binding.ts'

const { numbers } = binding
const HIGH = 2 ** 32
const none: readonly Fd[] = []

/** A length in the record of the last take or call: its low half is at `place`, and the high one behind it. */
export const lengthAt = (place: number): number =>
  (numbers[place + 1] as number) * HIGH + ((numbers[place] as number) >>> 0)

/** The descriptors of the record, `count` of them. This thread's, to be closed. */
export const descriptorsOf = (count: number): readonly Fd[] =>
  count === 0 ? none : Array.from(numbers.subarray(RECORD, RECORD + count), (fd) => Fd.owned(fd))

/** The memory of `bytes`, as a Buffer. */
export const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)
