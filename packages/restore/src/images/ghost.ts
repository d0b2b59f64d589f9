import type { Folder } from './folder.ts'
import { GHOST_FILE } from './format.ts'
import type { Ghost, GhostChunk } from './image-set.ts'
import type { GhostChunkEntry, GhostFileEntry } from './messages.ts'
import type { Payload } from './payload.ts'
import { refuse } from './refusal.ts'
import type { Work } from './slices.ts'

export const ghostImage = (number: number): string => `ghost-file-${number.toString(16)}.img`

/** The deleted file of an image. */
export function* readGhost(folder: Folder, image: string): Work<Ghost> {
  const [head, ...rest] = yield* folder.records(image, GHOST_FILE)
  if (head === undefined) return refuse('missing-record', image, 'it has no record')
  const entry = head.message as GhostFileEntry
  const [whole] = head.payloads
  if (whole !== undefined) return { entry, chunks: whole.length === 0 ? [] : [{ at: 0n, data: whole }] }
  const chunks = rest.map(({ message, payloads }) => {
    const { off } = message as GhostChunkEntry
    return { at: off, data: payloads[0] as Payload }
  })
  checkChunks(chunks, image)
  return { entry, chunks }
}

export function checkChunks(chunks: readonly GhostChunk[], image: string): void {
  let end = 0n
  for (const { at, data } of chunks) {
    if (at < end) refuse('bad-extent', image, `the chunk at ${at} begins before the end of the one before it`)
    end = at + BigInt(data.length)
  }
}
