import { create } from '@bufbuild/protobuf'
import { deepStrictEqual } from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { RestoreError } from '../src/index.ts'
import {
  FdType,
  FileEntrySchema,
  GhostFileEntrySchema,
  InventoryEntrySchema,
  makeMessage,
  MemfdInodeEntrySchema,
  PipeDataEntrySchema,
  PstreeEntrySchema,
  readImage,
  readImages,
  TaskKobjIdsEntrySchema,
  writeImages,
  type FileEntry,
  type ImageSet,
} from '../src/images/index.ts'
import { hasImages, imagesAbsent, imagesOf, legacyTrees, packages } from './fixtures/criu-images.ts'
import { newFolder } from './fixtures/folders.ts'

const content = ({ present, ...set }: ImageSet): object => set

/** One process that has nothing. */
const bare = (): ImageSet => ({
  inventory: makeMessage(InventoryEntrySchema, { imgVersion: 2, fdinfoPerId: true }),
  tasks: [
    {
      pstree: makeMessage(PstreeEntrySchema, { pid: 7, ppid: 0, pgid: 7, sid: 7, threads: [7] }),
      ids: makeMessage(TaskKobjIdsEntrySchema, { vmId: 1, filesId: 2, fsId: 3, sighandId: 4 }),
      table: 2,
    },
  ],
  tables: new Map([[2, []]]),
  files: [],
  remaps: [],
  ghosts: new Map(),
  pipes: [],
  fifos: [],
  packets: [],
  streams: new Map(),
  ttys: [],
  ttyData: [],
  memfds: [],
  locks: [],
  present: [],
  missing: [],
})

const pipeData = (bytes: number): ImageSet['pipes'][0]['entry'] =>
  makeMessage(PipeDataEntrySchema, { pipeId: 1, bytes })

/** Why a set is not written; nothing may be left of it. */
const refusal = async (set: ImageSet): Promise<unknown> => {
  const folder = newFolder()
  const error: unknown = await writeImages(join(folder, 'images'), set).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(RestoreError)
  expect(readdirSync(folder)).toEqual([])
  return (error as RestoreError).problems[0]?.reason
}

describe.skipIf(imagesAbsent !== '')(`images of CRIU${imagesAbsent}`, () => {
  test.each(packages())('%s: what is read and written is what was there, byte for byte', async (name) => {
    if (!hasImages(name)) return
    const from = imagesOf(name)
    const to = join(newFolder(), 'images')
    await writeImages(to, await readImages(from))
    for (const image of readdirSync(to)) {
      const paths = [join(to, image), join(from, image)] as const
      // There fields that are not known stood between those that are.
      const read = image.startsWith('core-') ? readImage : readFileSync
      deepStrictEqual(await read(paths[0]), await read(paths[1]), image)
    }
  })

  test('the older layout is written as the current one', async () => {
    const folder = newFolder()
    for (const name of legacyTrees()) {
      const to = join(folder, name.slice('legacy/'.length))
      const set = await readImages(imagesOf(name), { inline: 2 ** 20 })
      await writeImages(to, set)
      deepStrictEqual(content(await readImages(to, { inline: 2 ** 20 })), content(set), name)
    }
  })

  test('payloads are copied from the files in which they are', async () => {
    const folder = newFolder()
    const from = imagesOf('mixed4')
    await writeImages(join(folder, 'to'), await readImages(from, { inline: 0 }))
    for (const image of readdirSync(join(folder, 'to')).filter((image) => !image.startsWith('core-'))) {
      deepStrictEqual(readFileSync(join(folder, 'to', image)), readFileSync(join(from, image)), image)
    }
  })

  const crit =
    spawnSync('crit', ['--help']).error === undefined ? '' : ' (left out: no crit, of the package criu)'
  test.skipIf(crit !== '')(`crit reads what is written${crit}`, async () => {
    const folder = newFolder()
    await writeImages(join(folder, 'to'), await readImages(imagesOf('mixed4')))
    const images = readdirSync(join(folder, 'to')).filter((image) =>
      /^(inv|core|mm|fdinfo-2|files|sk|mem)/.test(image),
    )
    const run = promisify(execFile)
    const texts = await Promise.all(
      images.map(async (image) => (await run('crit', ['decode', '-i', join(folder, 'to', image)])).stdout),
    )
    expect(texts.map((text) => Object.keys(JSON.parse(text) as object))).toEqual(
      images.map(() => ['magic', 'entries']),
    )
  })
})

describe('the folder', () => {
  test('appears as a whole, for its owner alone', async () => {
    const folder = newFolder()
    await writeImages(join(folder, 'images'), bare())
    expect(readdirSync(folder)).toEqual(['images'])
    expect(readdirSync(join(folder, 'images')).sort()).toEqual([
      'files.img',
      'ids-7.img',
      'inventory.img',
      'pstree.img',
    ])
    expect(statSync(join(folder, 'images')).mode & 0o777).toBe(0o700)
    expect(content(await readImages(join(folder, 'images')))).toEqual(content(bare()))
  })

  test('may be there if it is empty, and must not have anything', async () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'empty'))
    await writeImages(join(folder, 'empty'), bare())
    const again = writeImages(join(folder, 'empty'), bare())
    await expect(again).rejects.toMatchObject({ problems: [{ reason: 'folder-not-empty' }] })
    await expect(writeImages(join(folder, 'none', 'images'), bare())).rejects.toMatchObject({
      code: 'ENOENT',
      problems: [{ reason: 'unwritable' }],
    })
    expect(readdirSync(folder)).toEqual(['empty'])
  })

  test('is not left when writing is aborted, nor when a payload has gone', async () => {
    const folder = newFolder()
    const aborted = writeImages(join(folder, 'images'), bare(), {
      signal: AbortSignal.abort(new Error('enough')),
    })
    await expect(aborted).rejects.toThrow('enough')
    const path = join(folder, 'payload')
    writeFileSync(path, 'abc')
    const data = { path, offset: 1, length: 2 }
    const set = { ...bare(), pipes: [{ entry: pipeData(2), data }] }
    truncateSync(path, 2)
    const short = writeImages(join(folder, 'images'), set)
    await expect(short).rejects.toMatchObject({ problems: [{ reason: 'payload-short' }] })
    const gone = { ...bare(), pipes: [{ entry: pipeData(2), data: { ...data, path: join(folder, 'none') } }] }
    await expect(writeImages(join(folder, 'images'), gone)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(readdirSync(folder)).toEqual(['payload'])
  })
})

test('pages of memfds get numbers that are free', async () => {
  const inode = (shmid: number): ImageSet['memfds'][0]['inode'] =>
    makeMessage(MemfdInodeEntrySchema, {
      name: 'm',
      uid: 0,
      gid: 0,
      size: 4096n,
      shmid,
      seals: 0,
      inodeId: BigInt(shmid),
    })
  const runs = [{ at: 0n, length: 4096n, flags: 4, data: new Uint8Array(4096).fill(7) }]
  const memfds = [
    { inode: inode(1), runs },
    { inode: inode(2), runs, pagesId: 5 },
    { inode: inode(3), runs: [] },
  ]
  const folder = join(newFolder(), 'images')
  await writeImages(folder, { ...bare(), memfds })
  const set = await readImages(folder)
  expect(set.memfds).toEqual([{ inode: inode(1), runs, pagesId: 6 }, memfds[1], memfds[2]])
  expect(set.missing).toEqual(['pagemap-shmem-3.img'])
})

describe('a set that cannot be written is refused before a file is made', () => {
  const set = bare()
  const file = (init: object): FileEntry => create(FileEntrySchema, init) as unknown as FileEntry
  const pipe = { id: 1, pipeId: 2, flags: 0, fown: { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 } }
  const ghostEntry = makeMessage(GhostFileEntrySchema, { uid: 0, gid: 0, mode: 0 })
  const three = new Uint8Array(3)
  const cases: Record<string, [string, Partial<ImageSet>]> = {
    'no process': ['no-pstree', { tasks: [] }],
    'a version that is not known': [
      'unknown-version',
      { inventory: makeMessage(InventoryEntrySchema, { imgVersion: 3 }) },
    ],
    'two processes with one pid': ['duplicate-image', { tasks: [...set.tasks, ...set.tasks] }],
    'a table that is not that of the ids': ['table-mismatch', { tasks: [{ ...set.tasks[0]!, table: 9 }] }],
    'a pipe without pipe_id': [
      'missing-field',
      { files: [file({ type: FdType.PIPE, id: 1, pipe: { ...pipe, pipeId: undefined } })] },
    ],
    'a file without its message': ['missing-field', { files: [file({ type: FdType.PIPE, id: 1 })] }],
    'a file with two ids': ['id-mismatch', { files: [file({ type: FdType.PIPE, id: 2, pipe })] }],
    'a file of two types': [
      'surplus-field',
      { files: [file({ type: FdType.PIPE, id: 1, pipe, fifo: { id: 1, pipeId: 2 } })] },
    ],
    'a number of 33 bits': ['not-encodable', { pipes: [{ entry: pipeData(2 ** 32), data: three }] }],
    'a payload that is shorter': ['length-mismatch', { pipes: [{ entry: pipeData(4), data: three }] }],
    'chunks that overlap': [
      'bad-extent',
      {
        ghosts: new Map([
          [
            1,
            {
              entry: makeMessage(GhostFileEntrySchema, { uid: 0, gid: 0, mode: 0, chunks: true }),
              chunks: [
                { at: 0n, data: three },
                { at: 2n, data: three },
              ],
            },
          ],
        ]),
      },
    ],
    'a hole in what has no chunks': [
      'bad-extent',
      { ghosts: new Map([[1, { entry: ghostEntry, chunks: [{ at: 1n, data: three }] }]]) },
    ],
    'a text with half a character': [
      'not-text',
      {
        ghosts: new Map([
          [1, { entry: makeMessage(GhostFileEntrySchema, { uid: 0, gid: 0, mode: 0 }), chunks: [] }],
        ]),
      },
    ],
  }
  // Made by hand, because makeMessage refuses it as well.
  cases['a text with half a character']![1].ghosts!.get(1)!.entry.symlnkTarget = '\ud800'

  test.each(Object.entries(cases))('%s', async (_, [reason, part]) => {
    expect(await refusal({ ...set, ...part })).toBe(reason)
  })
})
