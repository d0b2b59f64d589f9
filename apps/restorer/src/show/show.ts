import { statSync } from 'node:fs'
import { join } from 'node:path'
import {
  RestoreError,
  describeImages,
  imageJson,
  readImage,
  readImages,
  type ImageDescription,
} from '@x/restore'
import type { ShowCommand } from '../command-line/command-line.ts'
import { jsonText } from '../json-text.ts'
import { printProblems } from '../problem-text.ts'
import { imagesText } from './images-text.ts'
import { imageText } from './image-text.ts'

/** Up to this many bytes that follow a record are printed; of more, where they are. */
const inline = 2 ** 20

/** Shows a folder of images, or one image. */
export async function runShow({ images, json }: ShowCommand): Promise<void> {
  if (statSync(images).isDirectory()) {
    process.stdout.write(json ? jsonText(await allImages(images)) : await folderText(images))
  } else {
    const image = imageJson(await readImage(images, { inline }))
    process.stdout.write(json ? jsonText(image) : imageText(image))
  }
}

async function folderText(folder: string): Promise<string> {
  const description = describeImages(await readImages(folder))
  printProblems(description.problems)
  return imagesText(description)
}

/** Every image that matters for descriptors; that they can be read together is known then. */
async function allImages(folder: string): Promise<Record<string, ImageDescription>> {
  const { present } = await readImages(folder)
  const all: Record<string, ImageDescription> = {}
  // What lies in the images of pages is no message, whatever it looks like.
  for (const name of present.filter((each) => !/^pages-\d+\.img$/u.test(each))) {
    const image = await imageOf(join(folder, name))
    if (image !== undefined) all[name] = image
  }
  return all
}

async function imageOf(path: string): Promise<ImageDescription | undefined> {
  try {
    return imageJson(await readImage(path, { inline }))
  } catch (error) {
    if (error instanceof RestoreError && error.problems.every(({ reason }) => reason === 'bad-magic'))
      return undefined
    throw error
  }
}
