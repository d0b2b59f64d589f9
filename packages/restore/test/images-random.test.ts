import { fromBinary, toBinary, type DescMessage, type Message } from '@bufbuild/protobuf'
import { deepStrictEqual } from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RestoreError } from '../src/index.ts'
import { cursorOf, decode, DecodeFault } from '../src/images/decode.ts'
import { readImages, writeImages, type ImageSet } from '../src/images/index.ts'
import { imagesAbsent, imagesOf } from './fixtures/criu-images.ts'
import { newFolder } from './fixtures/folders.ts'
import { imageSets, message } from './fixtures/random-sets.ts'
import { schemas } from './fixtures/schemas.ts'

const content = ({ present, missing, ...set }: ImageSet): object => set

test('any set is read as it was written', async () => {
  const folder = join(newFolder(), 'images')
  await fc.assert(
    fc.asyncProperty(imageSets, async (set) => {
      rmSync(folder, { recursive: true, force: true })
      await writeImages(folder, set)
      deepStrictEqual(content(await readImages(folder)), content(set))
    }),
    { numRuns: 40 },
  )
})

type Damage = (bytes: Buffer) => Buffer

const damages: fc.Arbitrary<Damage> = fc.oneof(
  fc.nat().map(
    (at): Damage =>
      (bytes) =>
        bytes.subarray(0, at % bytes.length),
  ),
  fc.array(fc.nat(), { minLength: 1, maxLength: 4 }).map((bits): Damage => (bytes) => {
    const damaged = Buffer.from(bytes)
    for (const bit of bits) {
      const at = (bit >> 3) % bytes.length
      damaged[at] = damaged[at]! ^ (1 << (bit & 7))
    }
    return damaged
  }),
  fc.tuple(fc.nat(), fc.nat({ max: 2 ** 32 - 1 })).map(([place, word]): Damage => (bytes) => {
    const damaged = Buffer.from(bytes)
    if (bytes.length >= 4) damaged.writeUInt32LE(word, place % (bytes.length - 3))
    return damaged
  }),
)

describe('the decoder', () => {
  const encoded = fc
    .constantFrom(...schemas)
    .chain((schema) =>
      message(schema).map((value): [DescMessage, Buffer] => [schema, Buffer.from(toBinary(schema, value))]),
    )
  const decoded = (schema: DescMessage, bytes: Uint8Array): Message =>
    decode(schema, cursorOf(Uint8Array.from(bytes)))

  test('reads every message as protobuf-es does', () => {
    fc.assert(
      fc.property(encoded, ([schema, bytes]) => {
        deepStrictEqual(decoded(schema, bytes), fromBinary(schema, Uint8Array.from(bytes)))
      }),
      { numRuns: 500 },
    )
  })

  test('refuses what is damaged, or reads it as protobuf-es does', () => {
    fc.assert(
      fc.property(encoded, damages, ([schema, bytes], damage) => {
        const damaged = bytes.length === 0 ? bytes : damage(bytes)
        let message: Message
        try {
          message = decoded(schema, damaged)
        } catch (error) {
          if (error instanceof DecodeFault) return
          throw error
        }
        // Unknown values of enumerations are kept with fewer bytes there if they have more than they need.
        deepStrictEqual(
          { ...message, $unknown: 0 },
          { ...fromBinary(schema, Uint8Array.from(damaged)), $unknown: 0 },
        )
      }),
      { numRuns: 500 },
    )
  })
})

describe.skipIf(imagesAbsent !== '')(`images of CRIU${imagesAbsent}`, () => {
  // What CRIU writes and no descriptor needs is not read, so there is no use in damaging it.
  const matters = (image: string): boolean => !/^(pages|pagemap-\d|seccomp|timens)/.test(image)

  test.each(['pipes', 'ghost', 'pty', 'memfd', 'scm', 'tcpin', 'locks', 'legacy/inotify'])(
    'damage of %s is refused with a RestoreError, or does no harm, and takes no memory',
    async (name) => {
      const folder = newFolder()
      cpSync(imagesOf(name), folder, { recursive: true })
      const images = readdirSync(folder).filter(matters)
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...images), damages, async (image, damage) => {
          const path = join(folder, image)
          const bytes = readFileSync(path)
          writeFileSync(path, damage(bytes))
          const before = process.memoryUsage().arrayBuffers
          try {
            await readImages(folder)
          } catch (error) {
            if (!(error instanceof RestoreError)) throw error
            expect(error.problems.every(({ reason, message }) => reason !== '' && message !== '')).toBe(true)
          } finally {
            writeFileSync(path, bytes)
          }
          // Other threads have memory of their own in it.
          if (isMainThread) expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 22)
        }),
        { numRuns: 40 },
      )
    },
  )
})
