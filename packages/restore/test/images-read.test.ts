import { deepStrictEqual } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { RestoreError, type Problem } from '../src/index.ts'
import {
  EventpollFileEntrySchema,
  EventpollTfdEntrySchema,
  FanotifyFileEntrySchema,
  FanotifyMarkEntrySchema,
  FdinfoEntrySchema,
  FdType,
  GhostFileEntrySchema,
  has,
  imageRecords,
  InotifyFileEntrySchema,
  InotifyWdEntrySchema,
  makeMessage,
  MarkType,
  MemfdInodeEntrySchema,
  PagemapEntrySchema,
  PagemapHeadSchema,
  payloadBytes,
  payloadChunks,
  PipeDataEntrySchema,
  readImage,
  readImages,
  RegFileEntrySchema,
  RemapFilePathEntrySchema,
  RemapType,
  type ImageSet,
  type ReadOptions,
} from '../src/images/index.ts'
import { critJson, parseCrit } from './fixtures/crit-json.ts'
import { hasImages, imagesAbsent, imagesOf, legacyTrees, packages, unpack } from './fixtures/criu-images.ts'
import { newFolder } from './fixtures/folders.ts'
import { oldTree, rawImage, record } from './fixtures/raw-image.ts'

const fown = { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 }

/** The problems for which the images of a folder are refused. */
const refusal = async (folder: string, options?: ReadOptions): Promise<readonly Problem[]> => {
  const error = await readImages(folder, options).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(RestoreError)
  return (error as RestoreError).problems
}

describe.skipIf(imagesAbsent !== '')(`images of CRIU${imagesAbsent}`, () => {
  test.each(packages())('%s: every image that crit decoded is decoded to the same', async (name) => {
    const decoded = Object.entries(parseCrit(readFileSync(join(unpack(name), 'decoded.json'), 'utf8')))
    expect(decoded.length > 0).toBe(hasImages(name))
    for (const [image, expected] of decoded) {
      const { format, records } = await readImage(join(imagesOf(name), image), { inline: 2 ** 24 })
      deepStrictEqual({ magic: format, entries: records.map(critJson) }, expected, image)
    }
  })

  test('the older layout comes out as the current one', async () => {
    const byId = ({ files }: ImageSet): object[] => [...files].sort((a, b) => a.id - b.id)
    for (const name of legacyTrees()) {
      const older = await readImages(imagesOf(name), { inline: 2 ** 20 })
      const current = await readImages(imagesOf(name.replace('legacy/', '')), { inline: 2 ** 20 })
      deepStrictEqual(byId(older), byId(current), name)
      const rest = ({ inventory, present, files, ...set }: ImageSet): object => set
      deepStrictEqual(rest(older), rest(current), name)
    }
  })

  test.each([
    ['bad-magic', 'bad-magic', 'files.img', 'starts with 0x545643e6'],
    ['truncated-record', 'truncated-record', 'files.img', '31 bytes, and 24 follow'],
    ['huge-length', 'record-too-long', 'files.img', '2147483647 bytes'],
    ['missing-required', 'missing-field', 'files.img', 'PipeEntry.pipe_id is missing'],
    ['pipe-data-short', 'payload-short', 'pipes-data.img', '11 bytes follow it, and 8 do'],
    ['no-inventory', 'no-inventory', 'inventory.img', 'is absent'],
  ])('bad/%s is refused with %s', async (name, reason, image, message) => {
    const problems = await refusal(imagesOf(`bad/${name}`))
    expect(problems).toEqual([{ reason, image, message: expect.stringContaining(message) as string }])
  })

  test('a ghost that is named and has no image is listed as missing', async () => {
    const set = await readImages(imagesOf('bad/ghost-missing'))
    expect(set.missing).toEqual(['ghost-file-1.img'])
    expect(set.ghosts.has(1)).toBe(false)
    expect((await readImages(imagesOf('ghost'))).missing).toEqual([])
  })

  test('tasks with one table, tasks with none, and what there is of each', async () => {
    const set = await readImages(imagesOf('clonefiles'))
    const [first, second, third] = set.tasks.map(({ table }) => table)
    expect(new Set([first, second, third]).size).toBe(2)
    expect(set.tables.size).toBe(2)
    for (const { pstree, ids, core, mm, fs } of set.tasks) {
      expect(core?.tc?.taskState).toBe(1)
      expect(set.files.find(({ id }) => id === mm?.exeFileId)?.reg?.name).toMatch(/^\//)
      expect(fs && ids && pstree.pid > 0).toBe(true)
    }
    const none = await readImages(imagesOf('nofds'))
    expect(none.tables.get(none.tasks[0]!.table!)).toEqual([])
  })

  test('control characters of a terminal are bytes', async () => {
    const { ttys } = await readImages(imagesOf('pty'))
    // The terminal had these: interrupt is ^C, a read returns with three characters or after 0.7 seconds.
    const [VINTR, VTIME, VMIN] = [0, 5, 6]
    for (const { controls, lockedControls } of ttys) {
      expect(controls).toHaveLength(32)
      expect([controls![VINTR], controls![VTIME], controls![VMIN]]).toEqual([3, 7, 3])
      expect(lockedControls).toEqual(new Uint8Array(32))
    }
  })

  test('a deleted file in chunks, and one as a whole', async () => {
    const { ghosts } = await readImages(imagesOf('ghost'))
    expect(Buffer.from(ghosts.get(1)!.chunks[0]!.data as Uint8Array).toString()).toBe(
      'deleted file content\n',
    )
    const sparse = ghosts.get(3)!
    expect([sparse.entry.chunks, sparse.entry.size]).toEqual([true, 65536n])
    expect(sparse.chunks.map(({ at, data }) => [at, data.length])).toEqual([
      [0n, 4096],
      [57344n, 4096],
    ])
  })

  test('a memfd has the pages of its memory', async () => {
    const { memfds } = await readImages(imagesOf('memfd'))
    expect(memfds.map(({ runs }) => runs.map(({ at, length }) => [at, length]))).toEqual([
      [[0n, 4096n]],
      [[8192n, 4096n]],
      [],
      [[0n, 4096n]],
    ])
    const text = Buffer.from(memfds[0]!.runs[0]!.data as Uint8Array).subarray(
      0,
      Number(memfds[0]!.inode.size),
    )
    expect(text.toString()).toMatch(/^[ -~\n]{19}$/)
  })

  test('a payload that is large stays in its file', async () => {
    const inMemory = await readImages(imagesOf('tcpin'), { inline: 2 ** 24 })
    const inFiles = await readImages(imagesOf('tcpin'), { inline: 0 })
    expect(inFiles.streams.size).toBe(4)
    for (const [inode, { inq, entry }] of inFiles.streams) {
      expect(inq).toMatchObject({
        path: expect.stringContaining(inode.toString(16)) as string,
        length: entry.inqLen,
      })
      deepStrictEqual(await payloadBytes(inq, entry.inqLen), inMemory.streams.get(inode)!.inq)
    }
    const long = [...inFiles.streams.values()].find(({ inq }) => inq.length > 100_000)!
    await expect(payloadBytes(long.inq, 1000)).rejects.toMatchObject({
      problems: [{ reason: 'payload-too-long' }],
    })
  })

  test('all images that are wrong are told, not only the first', async () => {
    const folder = newFolder()
    execFileSync('cp', ['-r', `${imagesOf('scm')}/.`, folder])
    truncateSync(join(folder, 'pipes-data.img'), 13)
    writeFileSync(join(folder, 'sk-queues.img'), 'no image')
    const reasons = (await refusal(folder)).map(({ image, reason }) => [image, reason])
    expect(reasons).toEqual([
      ['pipes-data.img', 'truncated-record'],
      ['sk-queues.img', 'bad-magic'],
    ])
  })

  test('reading ends when its signal is aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(readImages(imagesOf('null'), { signal })).rejects.toThrow('enough')
    await expect(readImage(join(imagesOf('null'), 'files.img'), { signal })).rejects.toThrow('enough')
    const controller = new AbortController()
    const reading = readImages(imagesOf('null10000'), { signal: controller.signal })
    controller.abort(new Error('on the way'))
    await expect(reading).rejects.toThrow('on the way')
  })

  test.runIf(isMainThread)('no descriptor is left, whatever comes of reading', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    await readImages(imagesOf('mixed4'), { inline: 0 })
    await refusal(imagesOf('bad/pipe-data-short'))
    const controller = new AbortController()
    const reading = readImages(imagesOf('null10000'), { signal: controller.signal })
    controller.abort()
    await expect(reading).rejects.toThrow()
    for await (const record of imageRecords(join(imagesOf('scm'), 'sk-queues.img'), { inline: 0 })) {
      for (const chunk of payloadChunks(record.payloads[0]!)) expect(chunk.length).toBe(1)
      break
    }
    expect(open()).toBe(before)
  })
})

describe('older images', () => {
  test('without fdinfo_per_id a table is named by the pid', async () => {
    const folder = newFolder()
    oldTree(folder, { fdinfoPerId: false })
    const entry = { id: 5, flags: 1, type: FdType.REG, fd: 3 }
    rawImage(folder, 'fdinfo-7.img', 0x56213732, record(FdinfoEntrySchema, entry))
    const { tasks, tables } = await readImages(folder)
    expect(tasks[0]!.table).toBe(7)
    expect(tables.get(7)).toMatchObject([entry])
  })

  test('a remap without a type is a ghost if bit 31 says so', async () => {
    const folder = newFolder()
    oldTree(folder)
    const remaps = [
      { origId: 1, remapId: 2 ** 31 + 9 },
      { origId: 2, remapId: 9 },
      { origId: 3, remapId: 9, remapType: RemapType.PROCFS },
    ]
    const records = remaps.map((remap) => record(RemapFilePathEntrySchema, remap))
    rawImage(folder, 'remap-fpath.img', 0x59133954, ...records)
    const set = await readImages(folder)
    expect(set.remaps).toMatchObject([
      { origId: 1, remapId: 9, remapType: RemapType.GHOST },
      { origId: 2, remapId: 9, remapType: RemapType.LINKED },
      { origId: 3, remapId: 9, remapType: RemapType.PROCFS },
    ])
    expect(set.missing).toEqual(['ghost-file-9.img'])
  })

  test('watches with images of their own come into their files', async () => {
    const folder = newFolder()
    oldTree(folder)
    const handle = { bytes: 8, type: 1, handle: [1n] }
    const wd = { id: 11, iIno: 5n, mask: 2, ignoredMask: 0, sDev: 1, wd: 4, fHandle: handle }
    const mark = {
      id: 12,
      type: MarkType.MOUNT,
      mflags: 0,
      mask: 1,
      ignoredMask: 0,
      sDev: 1,
      me: { mntId: 3 },
    }
    const tfd = (fd: number): Buffer =>
      record(EventpollTfdEntrySchema, { id: 10, tfd: fd, events: 1, data: 2n ** 64n - 1n })
    rawImage(
      folder,
      'eventpoll.img',
      0x45023858,
      record(EventpollFileEntrySchema, { id: 10, flags: 2, fown }),
    )
    rawImage(folder, 'eventpoll-tfd.img', 0x44433746, tfd(3), tfd(4))
    rawImage(folder, 'inotify.img', 0x48424431, record(InotifyFileEntrySchema, { id: 11, flags: 0, fown }))
    rawImage(folder, 'inotify-wd.img', 0x54562009, record(InotifyWdEntrySchema, wd))
    const fanotify = { id: 12, flags: 2, fown, faflags: 0, evflags: 0 }
    rawImage(folder, 'fanotify.img', 0x55096122, record(FanotifyFileEntrySchema, fanotify))
    rawImage(folder, 'fanotify-mark.img', 0x56506035, record(FanotifyMarkEntrySchema, mark))
    const { files } = await readImages(folder)
    expect(files).toMatchObject([
      { type: FdType.EVENTPOLL, id: 10, epfd: { tfd: [{ tfd: 3, data: 2n ** 64n - 1n }, { tfd: 4 }] } },
      { type: FdType.INOTIFY, id: 11, ify: { wd: [{ wd: 4, iIno: 5n }] } },
      { type: FdType.FANOTIFY, id: 12, ffy: { mark: [{ me: { mntId: 3 } }] } },
    ])
    rawImage(folder, 'eventpoll.img', 0x45023858)
    expect(await refusal(folder)).toMatchObject([
      { reason: 'no-file', image: 'eventpoll-tfd.img' },
      { reason: 'no-file', image: 'eventpoll-tfd.img' },
    ])
  })

  test('pages are counted by compat_nr_pages, and in_parent says where they are', async () => {
    const folder = newFolder()
    oldTree(folder)
    const inode = { name: 'm', uid: 0, gid: 0, size: 12288n, shmid: 4, seals: 0, inodeId: 1n }
    rawImage(folder, 'memfd.img', 0x48453499, record(MemfdInodeEntrySchema, inode))
    const runs = [
      record(PagemapEntrySchema, { vaddr: 0n, compatNrPages: 1, inParent: true }),
      record(PagemapEntrySchema, { vaddr: 4096n, compatNrPages: 2 }),
    ]
    rawImage(folder, 'pagemap-shmem-4.img', 0x56084025, record(PagemapHeadSchema, { pagesId: 6 }), ...runs)
    rawImage(folder, 'pages-6.img', new Uint8Array(8192).fill(1))
    const { memfds } = await readImages(folder)
    expect(memfds[0]!.runs).toEqual([
      { at: 0n, length: 4096n, flags: 1 },
      { at: 4096n, length: 8192n, flags: 4, data: new Uint8Array(8192).fill(1) },
    ])
    truncateSync(join(folder, 'pages-6.img'), 8191)
    expect(await refusal(folder)).toMatchObject([{ reason: 'payload-short', image: 'pages-6.img' }])
  })
})

describe('what is refused', () => {
  test('a folder that is not there, and one without processes', async () => {
    const folder = newFolder()
    await expect(readImages(join(folder, 'none'))).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'scandir',
    })
    expect(await refusal(folder)).toMatchObject([{ reason: 'no-inventory' }])
    oldTree(folder)
    rawImage(folder, 'pstree.img', 0x50273030)
    expect(await refusal(folder)).toMatchObject([{ reason: 'no-pstree' }])
  })

  test('a FIFO in the place of an image is not waited for', async () => {
    const folder = newFolder()
    oldTree(folder)
    execFileSync('mkfifo', [join(folder, 'filelocks.img')])
    expect(await refusal(folder)).toMatchObject([{ reason: 'unreadable', image: 'filelocks.img' }])
  })

  test('a common magic where img_version says there is none', async () => {
    const folder = newFolder()
    oldTree(folder)
    rawImage(folder, 'filelocks.img', 0x54564319, 0x54323616)
    expect(await refusal(folder)).toMatchObject([{ reason: 'bad-magic', image: 'filelocks.img' }])
    await expect(readImage(join(folder, 'filelocks.img'))).resolves.toEqual({
      format: 'FILE_LOCKS',
      records: [],
    })
  })

  test('limits of records, of their size and of payloads', async () => {
    const folder = newFolder()
    oldTree(folder)
    const data = record(PipeDataEntrySchema, { pipeId: 1, bytes: 3 })
    const payload = new Uint8Array(3)
    rawImage(folder, 'pipes-data.img', 0x56453709, data, payload, data, payload)
    const reasonWith = async (limits: ReadOptions['limits']): Promise<string> =>
      (await refusal(folder, { limits })).map(({ reason }) => reason).join()
    expect(await reasonWith({ payload: 2 })).toBe('payload-too-long')
    expect(await reasonWith({ records: 1 })).toBe('too-many-records')
    expect(await reasonWith({ record: 9 })).toBe('record-too-long')
    await expect(
      readImages(folder, { limits: { payload: 3, records: 2, record: 10 } }),
    ).resolves.toBeDefined()
  })

  test('a name that is not UTF-8, but not one with U+FFFD', async () => {
    const folder = newFolder()
    oldTree(folder)
    const file = record(RegFileEntrySchema, { id: 1, flags: 0, pos: 0n, fown, name: '/a\ufffdb' })
    rawImage(folder, 'reg-files.img', 0x50363636, file)
    expect((await readImages(folder)).files[0]!.reg!.name).toBe('/a\ufffdb')
    file[file.indexOf(0xef)] = 0xff
    rawImage(folder, 'reg-files.img', 0x50363636, file)
    expect(await refusal(folder)).toMatchObject([
      { reason: 'not-text', message: expect.stringContaining('RegFileEntry.name') as string },
    ])
  })

  test('a type of descriptor that is not known', async () => {
    const folder = newFolder()
    oldTree(folder)
    const entry = record(FdinfoEntrySchema, { id: 5, flags: 0, type: 99 as never, fd: 3 })
    rawImage(folder, 'fdinfo-2.img', 0x56213732, entry)
    expect(await refusal(folder)).toMatchObject([
      { reason: 'unknown-type', message: expect.stringContaining('FdinfoEntry.type') as string },
    ])
  })

  test('options that are not known, and messages that lack a field', async () => {
    expect(await refusal('/', { inlne: 3 } as ReadOptions)).toMatchObject([{ reason: 'bad-option' }])
    expect(await refusal('/', { inline: -1 })).toMatchObject([{ reason: 'bad-option' }])
    expect(await refusal('/', { signal: 1 as never })).toMatchObject([{ reason: 'bad-option' }])
    expect(() => makeMessage(PipeDataEntrySchema, { pipeId: 1 })).toThrow('PipeDataEntry.bytes is missing')
    const message = makeMessage(PipeDataEntrySchema, { pipeId: 1, bytes: 0 })
    expect([has(message, 'size'), message.size, has(message, 'bytes')]).toEqual([false, 0, true])
  })

  test('an image that no one knows', async () => {
    const folder = newFolder()
    rawImage(folder, 'x.img', 0x54564319, 0x12345678)
    await expect(readImage(join(folder, 'x.img'))).rejects.toMatchObject({
      problems: [{ reason: 'bad-magic' }],
    })
  })
})

test('a deleted file of 8 GiB is read without its content', async () => {
  const folder = newFolder()
  const size = 2 ** 33
  rawImage(
    folder,
    'ghost-file-1.img',
    0x54564319,
    0x52583605,
    record(GhostFileEntrySchema, { uid: 0, gid: 0, mode: 0o600 }),
  )
  const start = readFileSync(join(folder, 'ghost-file-1.img')).length
  truncateSync(join(folder, 'ghost-file-1.img'), start + size)
  const before = process.memoryUsage().arrayBuffers
  for await (const { payloads } of imageRecords(join(folder, 'ghost-file-1.img'))) {
    expect(payloads).toEqual([{ path: join(folder, 'ghost-file-1.img'), offset: start, length: size }])
  }
  // Other threads have memory of their own in it.
  if (isMainThread) expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 21)
})
