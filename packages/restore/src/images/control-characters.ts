import type { TermiosEntry } from './messages.ts'
import { refuse } from './refusal.ts'

/** Control characters of a terminal: NCCS of the C library, of which the kernel knows the first 19. */
const COUNT = 32

/** Words that images have for them. Only as many as COUNT bytes take are set; the others mean nothing. */
const WORDS = 19

/** The control characters, which lie in the first words of `cCc` as bytes, the lowest first. */
export function controlsOf({ cCc }: TermiosEntry, image: string): Uint8Array {
  if (cCc.length * 4 < COUNT) {
    refuse(
      'missing-field',
      image,
      `TermiosEntry.c_cc has ${cCc.length} words, and ${COUNT / 4} hold the characters`,
    )
  }
  return Uint8Array.from(
    { length: COUNT },
    (_, index) => ((cCc[index >> 2] ?? 0) >>> ((index & 3) * 8)) & 0xff,
  )
}

/** The words of an image for these control characters; those that mean nothing are taken from `old`. */
export function wordsOf(controls: Uint8Array, old: readonly number[], image: string): number[] {
  if (controls.length !== COUNT) {
    refuse('bad-controls', image, `a terminal has ${COUNT} control characters, not ${controls.length}`)
  }
  const view = new DataView(controls.buffer, controls.byteOffset, COUNT)
  return Array.from({ length: Math.max(WORDS, old.length) }, (_, word) =>
    word < COUNT / 4 ? view.getUint32(word * 4, true) : (old[word] ?? 0),
  )
}
