import { examine, readImages, type Command, type Examination } from '@x/restore'
import type { Place } from './command-line/command-line.ts'

/** Reads images, and plans their restore in this place. */
export async function examineImages(
  images: string,
  { map, networkNamespace, keepPids }: Place,
  commands?: ReadonlyMap<number, Command>,
): Promise<Examination> {
  const set = await readImages(images)
  return examine(set, {
    map,
    keepPids,
    ...(networkNamespace !== undefined && { networkNamespace }),
    ...(commands !== undefined && { commands }),
  })
}
