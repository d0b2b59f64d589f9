import { FdType, type ImageSet } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File } from './file.ts'

/** What messages that wait in sockets say of files: who would have received them, and whose descriptors they carry. */
export function* checkPackets(images: ImageSet, files: ReadonlyMap<number, File>): Iterable<Problem> {
  for (const { entry } of images.packets) {
    const receiver = files.get(entry.idFor)
    const wrong = (reason: string, message: string): Problem => ({
      reason,
      message,
      image: 'sk-queues.img',
      file: entry.idFor,
    })
    if (receiver === undefined)
      yield wrong('packet-without-file', `a message is for file ${entry.idFor}, which is not in the images`)
    else if (receiver.type !== FdType.UNIXSK)
      yield wrong('packet-for-other', `a message is for file ${entry.idFor}, which is no Unix socket`)
    for (const right of entry.scm.flatMap(({ rights }) => rights)) {
      if (!files.has(right))
        yield wrong(
          'right-without-file',
          `a message for file ${entry.idFor} carries a descriptor of file ${right}, which is not in the images`,
        )
    }
  }
}
