import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FdType, FdinfoEntrySchema, FileEntrySchema, makeMessage } from '@x/restore/images'
import { family } from './family.ts'
import { restorer } from './program.ts'
import { temporaryFolder } from './temporary-folder.ts'

test('shows the tree of processes, and each descriptor in words', async () => {
  const { images, folder } = await family()
  const { code, out, err } = restorer('show', images)
  expect([code, err]).toEqual([0, ''])
  const log = `file ${folder}/log`
  const pad = (words: string): string => words.padEnd(Math.min(48, log.length))
  expect(out).toBe(
    [
      '4001 parent  leads a session',
      `│ 0-1  ${pad('file /dev/null')}  read, write`,
      `│   2  ${pad(log)}  read, write; at byte 9; shared with 4002`,
      `│   5  ${pad('pipe 77, write end')}  5 bytes wait; close-on-exec`,
      `│   9  ${pad('eventfd that counts 7')}  non-blocking`,
      '└ 4002 child  group and session 4001',
      `    0  ${pad('pipe 77, read end')}  5 bytes wait`,
      `    2  ${pad(log)}  read, write; at byte 9; shared with 4001`,
      '',
    ].join('\n'),
  )
})

test('--json prints the messages as they are, numbers of 64 bits whole', async () => {
  const fown = { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 }
  const { images } = await family((set) => ({
    ...set,
    files: [
      ...set.files,
      makeMessage(FileEntrySchema, {
        type: FdType.EVENTFD,
        id: 6,
        efd: { id: 6, flags: 2, fown, counter: 2n ** 64n - 2n },
      }),
    ],
  }))
  const { code, out } = restorer('show', images, '--json')
  expect(code).toBe(0)
  expect(out).toContain('"counter": 18446744073709551614')
  const all = JSON.parse(out) as Record<string, { magic: string; entries: unknown[] }>
  expect(Object.keys(all)).toEqual([
    'core-4001.img',
    'core-4002.img',
    'fdinfo-4001.img',
    'fdinfo-4002.img',
    'files.img',
    'inventory.img',
    'pipes-data.img',
    'pstree.img',
  ])
  expect(all['pipes-data.img']).toEqual({
    magic: 'PIPES_DATA',
    entries: [{ pipe_id: 77, bytes: 5, size: 65536, extra: Buffer.from('hello').toString('base64') }],
  })
  expect(all['fdinfo-4002.img']?.entries[0]).toEqual({ id: 3, flags: 0, type: 'PIPE', fd: 0 })
})

test('one image, record by record', async () => {
  const { images } = await family()
  const path = join(images, 'fdinfo-4002.img')
  expect(restorer('show', path)).toEqual({
    code: 0,
    err: '',
    out: 'FDINFO, 2 records\n0: id 3, flags 00, type "PIPE", fd 0\n1: id 2, flags 00, type "REG", fd 2\n',
  })
  const { out } = restorer('show', path, '--json')
  expect(JSON.parse(out)).toMatchObject({ magic: 'FDINFO', entries: [{ fd: 0 }, { fd: 2 }] })
})

test('what does not fit together is told, and the rest is shown', async () => {
  const { images } = await family((set) => ({
    ...set,
    tables: new Map(set.tables).set(4002, [
      makeMessage(FdinfoEntrySchema, { id: 99, type: FdType.REG, fd: 3, flags: 0 }),
    ]),
  }))
  const { code, out, err } = restorer('show', images)
  expect(code).toBe(0)
  expect(out).toContain('4002 child')
  expect(err).toMatch(
    /descriptor 3 of process 4002 is file 99, which is not in the images \(fd-without-file\)/,
  )
})

test('what is no image is refused with 3, and what is not there with 1', () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'x.img'), 'nothing of this kind')
  expect(restorer('show', join(folder, 'x.img'))).toMatchObject({ code: 3, out: '' })
  expect(restorer('show', folder)).toMatchObject({
    code: 3,
    out: '',
    err: expect.stringMatching(/^restorer: inventory\.img: .*\(no-inventory\)\n$/u) as string,
  })
  expect(existsSync(join(folder, 'none'))).toBe(false)
  expect(restorer('show', join(folder, 'none'))).toMatchObject({ code: 1, out: '' })
})
