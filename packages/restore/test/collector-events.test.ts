import { expect, test } from 'vitest'
import { collect } from '../src/index.ts'
import { has } from '../src/images/index.ts'
import { textOf, View } from './fixtures/sets.ts'
import { Target, without } from './fixtures/target.ts'

const alone = without('CAP_SYS_PTRACE', 'CAP_DAC_READ_SEARCH')
const admin = without('CAP_SYS_PTRACE', 'CAP_SYS_ADMIN')

test.skipIf(alone !== '')(`eventfd, signalfd, timerfd, pidfd and namespaces${alone}`, async () => {
  const target = await Target.of('events')
  const view = new View(await collect([target.pid]))
  const counter = view.file('efd', 70)
  expect(counter).toMatchObject({ counter: 2n ** 40n + 5n, flags: 0o4002 })
  expect(has(counter, 'semaphore')).toBe(false)
  expect(view.file('efd', 71)).toMatchObject({ counter: 3n, semaphore: true })
  // SIGUSR1 is 10, SIGRTMIN + 2 is 36.
  expect(view.file('sgfd', 72)).toMatchObject({ sigmask: (1n << 9n) | (1n << 35n), flags: 0o4002 })
  const timer = view.file('tfd', 73)
  expect(timer).toMatchObject({ clockid: 1, ticks: 0n, settimeFlags: 0, isec: 60n, insec: 1000n })
  expect(timer.vsec).toBeGreaterThan(3500n)
  expect(timer.vsec).toBeLessThan(3600n)
  expect(view.file('pidfd', 82).nspid).toBe(view.task(1).pstree.pid)
  expect(view.file('pidfd', 83).nspid).toBe(-1)
  expect(view.file('nsf', 84)).toMatchObject({ nsCflag: 0x40000000, nsId: view.task().ids?.netNsId })

  expect(await target.flow()).toEqual([`70=${2n ** 40n + 5n}`, '71=1', '79=event', '80=5'])
})

test.skipIf(alone !== '')(`what epoll watches, under whatever number${alone}`, async () => {
  const target = await Target.of('events')
  const view = new View(await collect([target.pid]))
  const watches = view.file('epfd', 76).tfd.toSorted((a, b) => a.tfd - b.tfd)
  expect(watches).toMatchObject([
    { tfd: 70, data: 2n },
    // Added as 77, which is a signalfd by now.
    { tfd: 71, data: 3n, addedAs: 77 },
    { tfd: 74, data: 0x1122334455667788n, inode: BigInt(view.file('pipe', 74).pipeId), pos: 0n },
  ])
  expect(watches.map(({ events }) => events)).toEqual(Array(3).fill(0x80000019))
  expect(watches.filter((watch) => has(watch, 'addedAs'))).toHaveLength(1)
  expect(view.file('epfd', 78).tfd).toMatchObject([{ tfd: 76, data: 4n }])
})

test.skipIf(alone !== '')(`inotify, and the path of what it watches${alone}`, async () => {
  const target = await Target.of('events')
  const view = new View(await collect([target.pid]))
  expect(view.file('ify', 79)).toMatchObject({
    flags: 0o4000,
    wd: [{ wd: 1, mask: 0x300, fHandle: { path: target.path('watched') } }],
  })
  expect(view.file('ify', 79).wd[0]?.fHandle.handle).toHaveLength(16)
})

test.skipIf(admin !== '')(`fanotify marks${admin}`, async () => {
  const target = await Target.of('fanotify')
  const view = new View(await collect([target.pid]))
  expect(view.file('ffy', 85)).toMatchObject({
    faflags: 2,
    mark: [{ type: 1, mask: 0x38, ie: { fHandle: { path: target.path('marked') } } }],
  })
})

test.skipIf(alone !== '')(`memfds have content, holes and seals${alone}`, async () => {
  const target = await Target.of('events')
  const view = new View(await collect([target.pid]))
  const file = view.file('memfd', 80)
  expect(file).toMatchObject({ pos: 5n, flags: 0o100002 })
  expect(view.file('memfd', 81)).toMatchObject({ inodeId: file.inodeId, pos: 0n, flags: 0o100000 })
  expect(view.set.memfds).toHaveLength(1)
  const [memfd] = view.set.memfds
  expect(memfd?.inode).toMatchObject({
    name: 'first',
    size: 12_298n,
    seals: 6,
    inodeId: BigInt(file.inodeId),
  })
  expect(memfd?.runs.map(({ at, length, flags }) => [at, length, flags])).toEqual([
    [4096n, 4096n, 4],
    [12_288n, 4096n, 4],
  ])
  expect(memfd?.runs.map(({ data }) => textOf(data).replace(/\0+$/, ''))).toEqual(['page one', 'tail'])
})

test.skipIf(admin !== '')(`a pty, its session, and what is typed into both ends${admin}`, async () => {
  const target = await Target.of('terminals')
  const view = new View(await collect([target.pid]))
  const [master, slave] = [view.file('tty', 100), view.file('tty', 101)]
  expect(master.ttyInfoId).toBe(slave.ttyInfoId + 1)
  const [ofMaster, ofSlave] = [master, slave].map(({ ttyInfoId }) =>
    view.set.ttys.find(({ entry }) => entry.id === ttyInfoId),
  )
  const leader = view.task(1).pstree.pid
  expect(ofSlave?.entry).toMatchObject({
    type: 1,
    sid: leader,
    pgrp: leader,
    pty: { index: slave.ttyInfoId / 2 },
    winsize: { wsRow: 24, wsCol: 80, wsXpixel: 640, wsYpixel: 480 },
    locked: false,
    packetMode: false,
  })
  expect(ofMaster?.entry).toMatchObject({ sid: leader, rdev: 0x502 })
  expect(ofSlave?.controls).toHaveLength(32)
  expect(ofSlave?.controls?.[6]).toBe(4) // VMIN
  expect(view.part('reg', slave.regfId).name).toMatch(/^\/dev\/pts\/\d+$/)
  const dataOf = (id: number): string =>
    textOf(view.set.ttyData.find(({ ttyId }) => ttyId === id)?.data ?? new Uint8Array())
  expect(dataOf(slave.ttyInfoId)).toBe('one\ntwo\nthr')
  expect(dataOf(master.ttyInfoId)).toBe('output')

  // Lines are lines still, and the one that was begun can be ended.
  expect((await target.flow()).filter((line) => line !== '')).toEqual([
    '101=one',
    '101=two',
    '101=three',
    '100=output',
  ])
})
