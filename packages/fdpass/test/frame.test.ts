import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FRAME_HEADER, FrameDecoder, writeFrameHeader, type Frame } from '../src/frame.ts'

/** What one sendmsg(2) put into the stream. */
interface Unit {
  bytes: Buffer
  descriptors: number[]
}

const MOST = 253

const encode = (data: Buffer, descriptors: number): Buffer => {
  const header = Buffer.alloc(FRAME_HEADER)
  writeFrameHeader(new DataView(header.buffer, header.byteOffset), data.length, descriptors)
  return Buffer.concat([header, data])
}

/** A frame as it is sent: descriptors that are more than one call takes go with further bytes. */
const unitsOf = (data: Buffer, descriptors: number[]): Unit[] => {
  const bytes = encode(data, descriptors.length)
  const units: Unit[] = []
  let [at, passed] = [0, 0]
  for (; descriptors.length - passed > MOST; at++, passed += MOST) {
    units.push({ bytes: bytes.subarray(at, at + 1), descriptors: descriptors.slice(passed, passed + MOST) })
  }
  return [...units, { bytes: bytes.subarray(at), descriptors: descriptors.slice(passed) }]
}

/**
 * The kernel's side of it, as reference B1.4 has it: a read of some size may begin before the bytes that descriptors
 * came with, takes the descriptors with the first of those, and ends behind the last.
 */
class Stream {
  readonly #units: { bytes: Buffer; descriptors: number[]; had: boolean }[]

  constructor(units: Unit[]) {
    this.#units = units.map(({ bytes, descriptors }) => ({ bytes, descriptors, had: descriptors.length > 0 }))
  }

  read(size: number): Unit | undefined {
    const parts: Buffer[] = []
    let descriptors: number[] = []
    for (let room = size; room > 0 && this.#units.length > 0;) {
      const unit = this.#units[0]!
      const taken = unit.bytes.subarray(0, room)
      const brings = unit.descriptors.splice(0)
      if (brings.length > 0) descriptors = brings
      parts.push(taken)
      room -= taken.length
      unit.bytes = unit.bytes.subarray(taken.length)
      if (unit.bytes.length > 0) break
      this.#units.shift()
      if (descriptors.length > 0) break
    }
    return parts.length === 0 ? undefined : { bytes: Buffer.concat(parts), descriptors }
  }
}

const contents = fc.array(
  fc.record({
    size: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 70_000 })),
    descriptors: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 700 })),
  }),
  { maxLength: 12 },
)
const readSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 100_000 })), {
  minLength: 1,
  maxLength: 20,
})

const numbered = (
  shapes: { size: number; descriptors: number }[],
): { data: Buffer; descriptors: number[] }[] => {
  let next = 0
  return shapes.map(({ size, descriptors }, index) => ({
    data: Buffer.alloc(size, index + 1),
    descriptors: Array.from({ length: descriptors }, () => next++),
  }))
}

/** Reads all there is, by sizes that come round; a read goes where the decoder wants the rest of a frame. */
const decodeAll = (
  decoder: FrameDecoder,
  stream: Stream,
  sizes: number[],
  isDamaged: (read: number) => boolean = () => false,
): Frame[] => {
  const frames: Frame[] = []
  for (let read = 0; ; read++) {
    const { rest } = decoder
    const got = stream.read(Math.min(rest?.length ?? Infinity, sizes[read % sizes.length]!))
    if (got === undefined) return frames
    if (rest !== undefined) rest.set(got.bytes)
    const chunk = rest === undefined ? got.bytes : rest.subarray(0, got.bytes.length)
    const damaged = got.descriptors.length > 0 && isDamaged(read)
    frames.push(...decoder.push(chunk, damaged ? got.descriptors.slice(1) : got.descriptors, damaged))
  }
}

describe('FrameDecoder', () => {
  test('61: each frame has its own bytes and descriptors, whatever the boundaries of the reads', () => {
    fc.assert(
      fc.property(contents, readSizes, (shapes, sizes) => {
        const messages = numbered(shapes)
        const decoder = new FrameDecoder(100_000, 1000)
        const stream = new Stream(messages.flatMap(({ data, descriptors }) => unitsOf(data, descriptors)))
        const frames = decodeAll(decoder, stream, sizes)
        expect(decoder.error).toBeUndefined()
        expect(decoder.partial).toBe(false)
        expect(frames.length).toBe(messages.length)
        for (const [index, frame] of frames.entries()) {
          expect(frame.data.equals(messages[index]!.data)).toBe(true)
          expect(frame.descriptors).toEqual(messages[index]!.descriptors)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('descriptors that are lost on the way damage their own frame, and no other', () => {
    fc.assert(
      fc.property(contents, readSizes, fc.array(fc.boolean(), { minLength: 1 }), (shapes, sizes, faults) => {
        const messages = numbered(shapes)
        const decoder = new FrameDecoder(100_000, 1000)
        const stream = new Stream(messages.flatMap(({ data, descriptors }) => unitsOf(data, descriptors)))
        const frames = decodeAll(decoder, stream, sizes, (read) => faults[read % faults.length]!)
        expect(decoder.error).toBeUndefined()
        expect(frames.length).toBe(messages.length)
        for (const [index, frame] of frames.entries()) {
          const { data, descriptors } = messages[index]!
          expect(frame.data.equals(data)).toBe(true)
          if (frame.damaged) expect(descriptors).toEqual(expect.arrayContaining(frame.descriptors))
          else expect(frame.descriptors).toEqual(descriptors)
          expect(frame.damaged).toBe(frame.descriptors.length < descriptors.length)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('whatever comes, each descriptor is in one place, and a stream that makes no sense ends', () => {
    const anything = fc.array(
      fc.record({
        bytes: fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
          fc
            .record({ size: fc.nat(40), promised: fc.nat(6), from: fc.nat(20), to: fc.nat(60) })
            .map(({ size, promised, from, to }) =>
              encode(Buffer.alloc(size), promised).subarray(from % 3, to + 3),
            ),
          fc
            .record({ size: fc.nat(40), promised: fc.nat(6) })
            .map(({ size, promised }) => encode(Buffer.alloc(size), promised)),
        ),
        descriptors: fc.nat(4),
        damaged: fc.boolean(),
      }),
      { maxLength: 20 },
    )
    fc.assert(
      fc.property(anything, fc.nat(3), (pieces, most) => {
        const decoder = new FrameDecoder(64, most)
        const places: number[] = []
        let next = 0
        for (const { bytes, descriptors, damaged } of pieces) {
          const numbers = Array.from({ length: descriptors }, () => next++)
          const frames = decoder.push(bytes, numbers, damaged)
          for (const frame of frames) {
            places.push(...frame.descriptors)
            if (!frame.damaged && !frame.refused) expect(frame.descriptors.length).toBe(frame.promised)
            if (frame.refused) expect(frame.descriptors).toEqual([])
          }
        }
        decoder.end()
        places.push(...decoder.refused)
        expect(places.toSorted((a, b) => a - b)).toEqual(Array.from({ length: next }, (_, index) => index))
      }),
      { numRuns: 2000 },
    )
  })

  test('a frame that is refused keeps none of the descriptors that came with its header', () => {
    const bytes = encode(Buffer.from('a'), 3)
    const decoder = new FrameDecoder(100, 2)
    expect(decoder.push(bytes.subarray(0, 1), [1, 2], false)).toEqual([])
    expect(decoder.push(bytes.subarray(1), [3], false)).toMatchObject([{ refused: true, descriptors: [] }])
    expect(decoder.refused).toEqual([1, 2, 3])
  })

  test('a frame of more descriptors than are taken is refused, and the next is not', () => {
    const decoder = new FrameDecoder(100, 2)
    expect(decoder.push(encode(Buffer.from('a'), 3), [1, 2, 3], false)).toMatchObject([{ refused: true }])
    expect(decoder.refused.splice(0)).toEqual([1, 2, 3])
    expect(decoder.push(encode(Buffer.from('b'), 2), [4, 5], false)).toMatchObject([{ descriptors: [4, 5] }])
  })

  test.each([
    ['no header', Buffer.from('GET / HTTP/1.1\r\n'), /no header/],
    ['too long', encode(Buffer.alloc(101), 0), /more than maxBytes/],
    ['too few descriptors', encode(Buffer.alloc(1), 2), /promises 2 descriptors and has 1/],
    ['too many descriptors', encode(Buffer.alloc(1), 0), /promises 0 descriptors and has 1/],
    ['too many descriptors so far', encode(Buffer.alloc(2), 0).subarray(0, -1), /more descriptors came/],
  ])('a stream with %s ends there', (_, bytes, message) => {
    const decoder = new FrameDecoder(100, 10)
    expect(decoder.push(Buffer.concat([encode(Buffer.from('good'), 0), bytes]), [7], false)).toHaveLength(1)
    expect(decoder.error).toMatch(message)
    expect(decoder.refused).toEqual([7])
    expect(decoder.push(encode(Buffer.from('late'), 0), [8], false)).toEqual([])
    expect(decoder.refused).toEqual([7, 8])
  })

  test('flags that are not known are refused: they may change what the rest means', () => {
    const bytes = encode(Buffer.alloc(0), 0)
    bytes.writeUInt32LE(1, 12)
    const decoder = new FrameDecoder(100, 10)
    decoder.push(bytes, [], false)
    expect(decoder.error).toMatch(/flags/)
  })
})
