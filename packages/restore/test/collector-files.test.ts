import { readFileSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { collect } from '../src/index.ts'
import { RemapType } from '../src/images/index.ts'
import { textOf, View } from './fixtures/sets.ts'
import { Target, without } from './fixtures/target.ts'

const alone = without('CAP_SYS_PTRACE')

test.skipIf(alone !== '')(`regular files, and names that are gone${alone}`, async () => {
  const target = await Target.of('files')
  const view = new View(await collect([target.pid]))
  const { set } = view

  const plain = view.file('reg', 3)
  expect(plain).toMatchObject({ name: target.path('plain'), pos: 7n, size: 10n, mode: 0o100644 })
  expect(plain.flags).toBe(0o2 | 0o2000 | 0o4000 | 0o100000)
  expect(view.descriptor(4)).toMatchObject({ id: plain.id, flags: 1 })
  expect(view.descriptor(3)).toMatchObject({ flags: 0 })
  expect(view.file('reg', 5)).toMatchObject({ name: target.folder, flags: 0o300000 })
  expect(view.file('reg', 6)).toMatchObject({ name: target.path('plain'), flags: 0o10000000 })
  expect(view.file('reg', 15).name).toBe('/dev/zero')
  expect(view.file('reg', 17).name).toBe(`/proc/${target.pid}/status`)
  expect(view.file('reg', 14)).toMatchObject({ name: target.path('link'), flags: 0o10400000 })
  expect(view.file('reg', 18).fown).toMatchObject({
    signum: 10,
    pidType: 1,
    pid: target.pid,
    uid: 0,
    euid: 0,
  })
  expect(view.file('reg', 11, 1)).toMatchObject({ name: target.path('plain'), pos: 0n })
  expect(view.descriptor(3, 1).id).toBe(plain.id)

  const remapOf = (fd: number): number | undefined =>
    set.remaps.find(({ origId }) => origId === view.descriptor(fd).id)?.remapId
  const ghostOf = (fd: number): object | undefined => set.ghosts.get(remapOf(fd) ?? -1)
  expect(ghostOf(7)).toMatchObject({ entry: { mode: 0o100644 }, chunks: [{ at: 0n }] })
  const [deleted] = set.ghosts.get(remapOf(7) ?? -1)?.chunks ?? []
  expect(textOf(deleted?.data)).toBe('content of the deleted')
  const sparse = set.ghosts.get(remapOf(8) ?? -1)
  expect(sparse?.entry).toMatchObject({ chunks: true, size: BigInt(2 ** 20 + 3) })
  expect(sparse?.chunks.map(({ at }) => at)).toEqual([0n, BigInt(2 ** 20)])
  expect(textOf(sparse?.chunks[1]?.data)).toBe('end')
  expect(view.file('reg', 9).name).toBe(target.path('replaced'))
  expect(textOf(set.ghosts.get(remapOf(9) ?? -1)?.chunks[0]?.data)).toBe('old')
  expect(ghostOf(13)).toMatchObject({ entry: { mode: 0o40750 } })
  expect(textOf(set.ghosts.get(remapOf(16) ?? -1)?.chunks[0]?.data)).toBe('temporary')
  expect(set.remaps.find(({ origId }) => origId === view.descriptor(10).id)).toMatchObject({
    remapId: view.descriptor(12).id,
    remapType: RemapType.LINKED,
  })
})

test.skipIf(alone !== '')(`ids follow processes and numbers${alone}`, async () => {
  const target = await Target.of('files')
  const view = new View(await collect([target.pid]))
  const [first] = view.set.files
  expect(view.task().mm?.exeFileId).toBe(first?.id)
  expect(view.task(1).mm?.exeFileId).toBe(first?.id)
  const ids = [...new Set(view.table().map(({ id }) => id))]
  expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  const last = ids.at(-1) ?? 0
  expect(view.task().fs?.cwdId).toBeGreaterThan(last)
  expect(view.descriptor(11, 1).id).toBeGreaterThan(view.task().fs?.rootId ?? Infinity)
  expect(new Set(view.set.files.map(({ id }) => id)).size).toBe(view.set.files.length)
})

test.skipIf(alone !== '')(`pipes and FIFOs keep what lies in them${alone}`, async () => {
  const target = await Target.of('pipes')
  const view = new View(await collect([target.pid]))
  const { set } = view
  const inPipe = (fd: number): object | undefined =>
    set.pipes.find(({ entry }) => entry.pipeId === view.file('pipe', fd).pipeId)
  expect(view.file('pipe', 21)).toMatchObject({ pipeId: view.file('pipe', 20).pipeId, flags: 1 })
  expect(inPipe(20)).toMatchObject({ entry: { bytes: 11, size: 65536 } })
  expect(view.descriptor(22).flags).toBe(1)
  expect(view.file('pipe', 23).flags).toBe(0o4001)
  expect(inPipe(22)).toMatchObject({ entry: { bytes: 150_000, size: 2 ** 20 } })
  // The process has its end to write only; the child has the other.
  expect(view.file('pipe', 25, 1)).toMatchObject({ pipeId: view.file('pipe', 24).pipeId, flags: 0 })
  expect(inPipe(24)).toMatchObject({ entry: { bytes: 6 } })
  const fifo = view.file('fifo', 26)
  expect(view.part('reg', fifo.regfId)).toMatchObject({
    name: target.path('fifo'),
    mode: 0o10640,
    flags: 0o100002,
  })
  const inFifo = set.fifos.find(({ entry }) => entry.pipeId === fifo.pipeId)
  expect(textOf(inFifo?.data)).toBe('in the fifo')
  const lost = view.file('fifo', 27)
  const remap = set.remaps.find(({ origId }) => origId === lost.regfId)
  expect(set.ghosts.get(remap?.remapId ?? -1)?.entry).toMatchObject({ mode: 0o10600 })

  expect(await target.flow()).toEqual(['20=in the pipe', '22=150000', '26=in the fifo', '20=more'])
})

test.skipIf(alone !== '')(`locks of all kinds${alone}`, async () => {
  const target = await Target.of('locks')
  const { locks, tasks } = await collect([target.pid])
  const child = tasks[1]?.pstree.pid
  expect(locks.map(({ flag, type, pid, fd, start, len }) => [flag, type, pid, fd, start, len])).toEqual([
    [2, 1, target.pid, 90, 0n, 0n],
    [1, 1, target.pid, 91, 2n, 5n],
    [4, 0, target.pid, 92, 0n, 0n],
    [8, 0, target.pid, 93, 0n, 0n],
    [1, 0, child, 95, 100n, 10n],
  ])
})

test.skipIf(alone !== '')(`tables, files and folders that processes share${alone}`, async () => {
  const target = await Target.of('sharing')
  const set = await collect([target.pid])
  const [parent, forked, cloned] = set.tasks
  expect(set.tasks.map(({ pstree }) => pstree.ppid)).toEqual([0, target.pid, target.pid])
  expect(cloned?.table).toBe(parent?.table)
  expect(cloned?.ids?.fsId).toBe(parent?.ids?.fsId)
  expect(forked?.table).not.toBe(parent?.table)
  expect(forked?.ids?.fsId).not.toBe(parent?.ids?.fsId)
  expect(set.tables.size).toBe(2)
  const ids = [...set.tables.values()].map((table) => table.find(({ fd }) => fd === 3)?.id)
  expect(ids[0]).toBe(ids[1])
  expect(set.files.find(({ id }) => id === ids[0])?.reg).toMatchObject({ pos: 6n })
})

test.skipIf(alone !== '')(`what a process is besides its descriptors${alone}`, async () => {
  const target = await Target.of('sharing')
  const view = new View(await collect([target.pid]))
  const { pstree, core, fs, mm, ids } = view.task()
  expect(pstree).toMatchObject({ pid: target.pid, threads: [target.pid] })
  expect(core?.tc).toMatchObject({ comm: 'tables', taskState: 1 })
  expect(core?.tc?.rlimits?.rlimits).toHaveLength(16)
  expect(core?.threadCore?.creds).toMatchObject({ uid: process.getuid?.(), gid: process.getgid?.() })
  expect(fs?.umask).toBe(0o22)
  expect(view.part('reg', fs?.cwdId ?? 0).name).toBe(target.folder)
  expect(view.part('reg', fs?.rootId ?? 0).name).toBe('/')
  expect(view.part('reg', mm?.exeFileId ?? 0).name).toMatch(/\/tables$/)
  expect(ids?.netNsId).toBe(view.set.inventory.rootIds?.netNsId)
})

test.skipIf(alone !== '')(`a child that has ended is in the tree, without a table${alone}`, async () => {
  const target = await Target.of('zombie')
  const { tasks } = await collect([target.pid])
  expect(tasks).toHaveLength(2)
  expect(tasks[1]).toMatchObject({
    pstree: { ppid: target.pid },
    core: { tc: { taskState: 2, exitCode: 768 } },
  })
  expect(tasks[1]).not.toHaveProperty('table')
})

test.skipIf(alone !== '')(`access times of deleted files stay${alone}`, async () => {
  const target = await Target.of('files')
  const path = `/proc/${target.pid}/fd/7`
  const before = statSync(path, { bigint: true }).atimeNs
  await collect([target.pid])
  expect(statSync(path, { bigint: true }).atimeNs).toBe(before)
  expect(readFileSync(`/proc/${target.pid}/fdinfo/7`, 'latin1')).toMatch(/^pos:\t3\n/)
})
