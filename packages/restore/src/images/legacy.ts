import { create, type DescMessage, type MessageValidType } from '@bufbuild/protobuf'
import { FILE_KINDS } from './file-kinds.ts'
import type { Folder } from './folder.ts'
import * as format from './format.ts'
import { FdType, FileEntrySchema, type FileEntry } from './messages.ts'
import { refusal } from './refusal.ts'
import type { Work } from './slices.ts'

type FileFormat = format.Format<DescMessage & { readonly field: { readonly id: unknown } }>

/** The images of files where there is one for each kind, by file name. */
const IMAGES: readonly (readonly [string, FileFormat, FdType])[] = [
  ['reg-files', format.REG_FILES, FdType.REG],
  ['ext-files', format.EXT_FILES, FdType.EXT],
  ['ns-files', format.NS_FILES, FdType.NS],
  ['pipes', format.PIPES, FdType.PIPE],
  ['fifo', format.FIFO, FdType.FIFO],
  ['unixsk', format.UNIXSK, FdType.UNIXSK],
  ['inetsk', format.INETSK, FdType.INETSK],
  ['packetsk', format.PACKETSK, FdType.PACKETSK],
  ['netlinksk', format.NETLINKSK, FdType.NETLINKSK],
  ['eventfd', format.EVENTFD_FILE, FdType.EVENTFD],
  ['eventpoll', format.EVENTPOLL_FILE, FdType.EVENTPOLL],
  ['signalfd', format.SIGNALFD, FdType.SIGNALFD],
  ['inotify', format.INOTIFY_FILE, FdType.INOTIFY],
  ['fanotify', format.FANOTIFY_FILE, FdType.FANOTIFY],
  ['tty', format.TTY_FILES, FdType.TTY],
  ['timerfd', format.TIMERFD, FdType.TIMERFD],
  ['tunfile', format.TUNFILE, FdType.TUNF],
  ['pidfd', format.PIDFD, FdType.PIDFD],
  ['bpfmap-file', format.BPFMAP_FILE, FdType.BPFMAP],
]

/** The files of images that have no image `files`, as that would have them. */
export function* legacyFiles(folder: Folder): Work<FileEntry[]> {
  const files: FileEntry[] = []
  for (const [name, kindFormat, type] of IMAGES) {
    for (const message of yield* folder.messages(`${name}.img`, kindFormat)) {
      const { id } = message as unknown as { id: number }
      files.push(create(FileEntrySchema, { type, id, [FILE_KINDS[type]]: message }) as unknown as FileEntry)
    }
  }
  yield* addWatches(folder, files, 'eventpoll-tfd', format.EVENTPOLL_TFD, ({ epfd }) => epfd?.tfd)
  yield* addWatches(folder, files, 'inotify-wd', format.INOTIFY_WD, ({ ify }) => ify?.wd)
  yield* addWatches(folder, files, 'fanotify-mark', format.FANOTIFY_MARK, ({ ffy }) => ffy?.mark)
  return files
}

// Older still, watches had images of their own: each names its file by id.
function* addWatches<Schema extends DescMessage>(
  folder: Folder,
  files: readonly FileEntry[],
  name: string,
  watchFormat: format.Format<Schema>,
  watchesOf: (file: FileEntry) => MessageValidType<Schema>[] | undefined,
): Work<void> {
  const image = `${name}.img`
  const watches = yield* folder.messages(image, watchFormat)
  if (watches.length === 0) return
  const owners = new Map(files.map((file) => [file.id, watchesOf(file)] as const).filter(([, list]) => list))
  for (const watch of watches) {
    const { id } = watch as unknown as { id: number }
    const owner = owners.get(id)
    if (owner === undefined)
      folder.note(refusal('no-file', image, `a watch belongs to the file ${id}, which is absent`))
    else owner.push(watch)
  }
}
