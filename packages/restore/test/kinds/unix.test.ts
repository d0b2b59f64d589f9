import { Fd, FdListener, FdSocket, listen, pidfdGetfd, pidfdOpen } from '@x/fdpass'
import { randomUUID } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { RestoreError } from '../../src/errors.ts'
import { plan, type Plan } from '../../src/plan/plan.ts'
import { folder, treeOf } from '../fixtures/folder.ts'
import { SocketSet } from '../fixtures/socket-set.ts'
import { restore, start } from '../fixtures/tasks.ts'

const DGRAM = 2
const SEQPACKET = 5
const CLOSE = 7
const LISTEN = 10
const [ROOT, CHILD, OTHER] = [100, 101, 102] as const

const planned = (set: SocketSet): Plan => plan(set.images, { keepPids: false })

/** Restores the processes, with new ids. Gives a way to their descriptors: by place of the process, and number. */
const restored = async (set: SocketSet): Promise<(place: number, fd: number) => Fd> => {
  const pids = await restore(planned(set).program)
  return (place, fd) => {
    using pidfd = pidfdOpen(pids[place + 1] ?? 0)
    const taken = pidfdGetfd(pidfd, fd)
    onTestFinished(() => {
      taken.close()
    })
    return taken
  }
}

const socketOf = (fd: Fd): FdSocket => {
  const socket = FdSocket.from(fd, { framed: false, maxFds: 16 })
  onTestFinished(() => {
    socket.close()
  })
  return socket
}

const read = (socket: FdSocket): string | undefined => socket.recvSync({ timeout: 1000 })?.data.toString()

const refusals = (set: SocketSet): string[] => {
  try {
    planned(set)
  } catch (error) {
    if (error instanceof RestoreError) return error.problems.map(({ reason }) => reason)
    throw error
  }
  return []
}

const warnings = (set: SocketSet): string[] => planned(set).warnings.map(({ reason }) => reason)

/** A name in the abstract name space that nobody has. */
const abstract = (): string => `\0${randomUUID()}`

describe('pairs', () => {
  test('234: both halves in different processes, with what was unread both ways', async () => {
    const set = new SocketSet()
    const [one, other] = set.unixPair()
    set.hold(ROOT, 5, one).hold(CHILD, 6, other).hold(CHILD, 60, other)
    set.message(one, 'to one').message(other, 'to ').message(other, 'other')
    const fd = await restored(set)
    expect(read(socketOf(fd(0, 5)))).toBe('to one')
    expect(read(socketOf(fd(1, 60)))).toMatch(/^to (other)?$/)
  })

  for (const [type, number] of [
    ['datagram', DGRAM],
    ['seqpacket', SEQPACKET],
  ] as const) {
    test(`235: messages keep their bounds, empty ones too: ${type}`, async () => {
      const set = new SocketSet()
      const [one, other] = set.unixPair({ type: number }, { type: number })
      set.hold(ROOT, 5, one).hold(ROOT, 6, other)
      for (const text of ['first', '', 'third']) set.message(other, text)
      const fd = await restored(set)
      const socket = socketOf(fd(0, 6))
      const texts = ['first', 'third'].map(() => read(socket))
      if (number === DGRAM) texts.push(read(socket))
      expect(texts).toEqual(number === DGRAM ? ['first', '', 'third'] : ['first', ''])
    })
  }

  test('210: the other half is closed, and what it had sent is there', async () => {
    const set = new SocketSet()
    const one = set.unix({ shutdown: 3 })
    set.hold(ROOT, 5, one).message(one, 'left behind')
    const fd = await restored(set)
    const socket = socketOf(fd(0, 5))
    expect(read(socket)).toBe('left behind')
    expect(socket.recvSync({ timeout: 1000 })).toBeNull()
  })

  test('227: a half that is shut has its queue all the same', async () => {
    const set = new SocketSet()
    const [one, other] = set.unixPair({ shutdown: 2 }, { shutdown: 1 })
    set.hold(ROOT, 5, one).hold(ROOT, 6, other).message(other, 'half').message(one, 'back')
    const fd = await restored(set)
    const socket = socketOf(fd(0, 6))
    expect(read(socket)).toBe('half')
    expect(socket.recvSync({ timeout: 1000 })).toBeNull()
    expect(read(socketOf(fd(0, 5)))).toBe('back')
  })

  test('more is unread than the buffer holds that the sender has now', async () => {
    const set = new SocketSet()
    const small = { soSndbuf: 8192, soBufLock: 1 }
    const [one, other] = set.unixPair({ opts: small, type: SEQPACKET }, { type: SEQPACKET })
    const long = 'x'.repeat(300_000)
    set.hold(ROOT, 5, one).hold(CHILD, 6, other).message(other, long)
    const fd = await restored(set)
    const socket = FdSocket.from(fd(1, 6), { maxBytes: 400_000 })
    onTestFinished(() => {
      socket.close()
    })
    expect(read(socket)).toBe(long)
  })
})

describe('connections', () => {
  test('225: a listener with connections, and with some that wait, in their order', async () => {
    const path = join(folder(), 'srv')
    const set = new SocketSet()
    const listener = set.unix({
      name: path,
      state: LISTEN,
      backlog: 5,
      filePerms: { mode: 0o640, uid: 0, gid: 0 },
    })
    // Whichever end is seen first.
    const [accepted, client] = set.unixPair({ name: path })
    const [second, clerk] = set.unixPair({}, { name: path })
    const waiting = ['first', 'then'].map((name) =>
      set.unix({ name: join(path, '..', name), peer: listener }),
    )
    set.hold(ROOT, 3, listener).hold(ROOT, 4, accepted).hold(CHILD, 5, client).message(accepted, 'hi')
    set.hold(CHILD, 6, second).hold(ROOT, 7, clerk).message(second, 'ho')
    set.hold(CHILD, 8, waiting[0] ?? 0).hold(ROOT, 9, waiting[1] ?? 0)
    const fd = await restored(set)
    expect(lstatSync(path).mode & 0o7777).toBe(0o640)
    expect(socketOf(fd(0, 4)).localName).toBe(path)
    expect(socketOf(fd(1, 5)).peerName).toBe(path)
    expect(read(socketOf(fd(0, 4)))).toBe('hi')
    expect(read(socketOf(fd(1, 6)))).toBe('ho')
    using living = FdListener.from(fd(0, 3), { nonblocking: true })
    const names: (string | undefined)[] = []
    for (let place = 0; place < 2; place++) {
      using arrived = await living.accept()
      names.push(arrived.peerName)
    }
    expect(names).toEqual([join(path, '../first'), join(path, '../then')])
    using late = await FdSocket.connect(path)
    expect(late.peerName).toBe(path)
  })

  test('229: the listener is gone, and its path too, or not', async () => {
    const work = folder()
    const set = new SocketSet()
    const names = ['kept', 'gone'].map((name) => join(work, name))
    for (const [place, name] of names.entries()) {
      const [accepted, client] = set.unixPair({ name, deleted: place === 1 })
      set.hold(ROOT, 10 + place, accepted).hold(CHILD, 20 + place, client)
    }
    const left = set.unix({ name: abstract(), shutdown: 3 })
    set.hold(ROOT, 30, left).message(left, 'last words')
    const fd = await restored(set)
    expect(names.map((_, place) => socketOf(fd(0, 10 + place)).localName)).toEqual(names)
    expect(names.map((_, place) => socketOf(fd(1, 20 + place)).peerName)).toEqual(names)
    expect(read(socketOf(fd(0, 30)))).toBe('last words')
    expect(readdirSync(work)).toEqual(['kept'])
  })

  test('15: paths that were taken by one after another', async () => {
    const path = join(folder(), 'srv')
    const set = new SocketSet()
    const old = set.unix({ name: path, state: LISTEN, deleted: true, backlog: 1 })
    const [accepted, client] = set.unixPair({ name: path, deleted: true })
    const current = set.unix({ name: path, state: LISTEN, backlog: 1 })
    const waiting = set.unix({ peer: old })
    set.hold(ROOT, 3, old).hold(ROOT, 4, accepted).hold(CHILD, 5, client).hold(CHILD, 6, waiting)
    set.hold(OTHER, 3, current)
    const fd = await restored(set)
    expect(socketOf(fd(1, 5)).peerName).toBe(path)
    using living = FdListener.from(fd(2, 3), { nonblocking: true })
    using late = await FdSocket.connect(path)
    using arrived = await living.accept()
    expect(arrived.localName).toBe(late.peerName)
    expect(readdirSync(join(path, '..'))).toEqual(['srv'])
  })

  test('144: a name that is relative, in a folder whose name is longer than a name can be', async () => {
    const nameDir = join(folder(), 'l'.repeat(120))
    mkdirSync(nameDir)
    const set = new SocketSet()
    const listener = set.unix({ name: 'srv', nameDir, state: LISTEN })
    const [accepted, client] = set.unixPair({ name: 'srv', nameDir })
    set.hold(ROOT, 3, listener).hold(ROOT, 4, accepted).hold(CHILD, 5, client)
    const fd = await restored(set)
    expect(socketOf(fd(0, 4)).localName).toBe('srv')
    expect(readdirSync(nameDir)).toEqual(['srv'])
  })

  test('149: the folder of a deleted name is gone, too', async () => {
    const work = folder()
    const set = new SocketSet()
    const [accepted, client] = set.unixPair({ name: join(work, 'a/b/srv'), deleted: true })
    set.hold(ROOT, 3, accepted).hold(ROOT, 4, client)
    const fd = await restored(set)
    expect(socketOf(fd(0, 4)).peerName).toBe(join(work, 'a/b/srv'))
    expect(readdirSync(work)).toEqual([])
  })
})

describe('paths', () => {
  test('32: a deleted socket, and a file that has its path now', async () => {
    const work = folder()
    const path = join(work, 'srv')
    writeFileSync(path, 'content')
    const set = new SocketSet()
    const [accepted, client] = set.unixPair({ name: path, deleted: true })
    set.hold(ROOT, 3, accepted).hold(CHILD, 4, client).hold(OTHER, 5, set.regular(path))
    const before = treeOf(work)
    const fd = await restored(set)
    expect(socketOf(fd(1, 4)).peerName).toBe(path)
    expect(readFileSync(fd(2, 5).fd, 'utf8')).toBe('content')
    expect(treeOf(work)).toEqual(before)
  })

  test('146: relative ones of processes that share a working directory', async () => {
    const work = folder()
    const folders = ['a', 'b', 'c'].map((name) => join(work, name))
    const set = new SocketSet().shareFolder()
    for (const [place, nameDir] of folders.entries()) {
      mkdirSync(nameDir)
      for (let fd = 3; fd < 20; fd++)
        set.hold(ROOT + place, fd, set.unix({ type: DGRAM, state: CLOSE, name: `s${fd}`, nameDir }))
    }
    await restored(set)
    for (const nameDir of folders) expect(readdirSync(nameDir).length).toBe(17)
  })

  test('149: two in a folder that is gone', async () => {
    const work = folder()
    const set = new SocketSet()
    for (const fd of [3, 4])
      set.hold(ROOT, fd, set.unix({ name: join(work, `a/b/${fd}`), deleted: true, state: CLOSE }))
    const fd = await restored(set)
    expect(socketOf(fd(0, 4)).localName).toBe(join(work, 'a/b/4'))
    expect(readdirSync(work)).toEqual([])
  })
})

describe('datagrams', () => {
  test('219: messages come from the only ones that have sent anything', async () => {
    const work = folder()
    const name = (file: string): string => join(work, file)
    const set = new SocketSet()
    const server = set.unix({ type: DGRAM, name: name('srv') })
    const idle = set.unix({ type: DGRAM, name: name('idle'), peer: server })
    const busy = set.unix({ type: DGRAM, name: name('busy'), peer: server, backlog: 768 })
    const sender = set.unix({ type: DGRAM, name: name('free'), state: CLOSE, backlog: 0 })
    set.hold(ROOT, 3, server).hold(CHILD, 4, idle).hold(CHILD, 5, busy).hold(CHILD, 6, sender)
    set.message(server, 'hello')
    const fd = await restored(set)
    const message = socketOf(fd(0, 3)).recvSync({ timeout: 1000 })
    expect([message?.data.toString(), message?.from]).toEqual(['hello', name('busy')])
  })

  test('what several may have sent is said to be a guess', () => {
    const set = new SocketSet()
    const server = set.unix({ type: DGRAM, name: abstract() })
    set.hold(ROOT, 3, server).message(server, 'one').message(server, 'two')
    for (const fd of [4, 5])
      set.hold(ROOT, fd, set.unix({ type: DGRAM, name: abstract(), peer: server, backlog: 768 }))
    expect(warnings(set)).toEqual(['sender-unknown'])
  })

  test('138: a chain in which each is connected before it connects, with deleted names', async () => {
    const work = folder()
    const set = new SocketSet()
    const names = ['a', 'b', 'c', 'd'].map((name) => join(work, name))
    for (const [place, name] of names.entries()) {
      const peer = place + 1 < names.length ? { peer: place + 2 } : {}
      set.hold(ROOT + place, 3, set.unix({ type: DGRAM, name, deleted: true, ...peer }))
    }
    const fd = await restored(set)
    expect(names.map((_, place) => (place < 3 ? socketOf(fd(place, 3)).peerName : ''))).toEqual([
      ...names.slice(1),
      '',
    ])
    expect(readdirSync(work)).toEqual([])
  })

  test('a ring cannot be, and is told with all who are in it', () => {
    const set = new SocketSet()
    for (const place of [0, 1, 2])
      set.hold(ROOT + place, 3, set.unix({ type: DGRAM, name: abstract(), peer: ((place + 1) % 3) + 1 }))
    expect(() => planned(set)).toThrow(
      /circle.*\n.*process 10\d, descriptor 3.*\n.*process 10\d, descriptor 3.*\n.*process 10\d, descriptor 3/,
    )
    expect(refusals(set)).toEqual(['circle'])
  })

  test('one half of a pair has left it and has another peer', async () => {
    const name = abstract()
    const set = new SocketSet()
    const server = set.unix({ type: DGRAM, name })
    const leaver = set.unix({ type: DGRAM, peer: server })
    const stayer = set.unix({ type: DGRAM, peer: leaver })
    set.hold(ROOT, 3, server).hold(ROOT, 4, leaver).hold(CHILD, 5, stayer).message(leaver, 'before')
    const fd = await restored(set)
    const socket = socketOf(fd(0, 4))
    expect(socket.peerName).toBe(name)
    expect(read(socket)).toBe('before')
  })
})

describe('options', () => {
  test('155: credentials are asked for before the queue is there, and nobody gets a name by that', async () => {
    const set = new SocketSet()
    const [one, other] = set.unixPair({}, { opts: { soPasscred: true } })
    const path = join(folder(), 'srv')
    const listener = set.unix({ name: path, state: LISTEN, backlog: 1, opts: { soPasscred: true } })
    const [accepted, client] = set.unixPair({ name: path }, { opts: { soPasscred: true } })
    set.hold(ROOT, 3, one).hold(CHILD, 4, other).message(other, 'who')
    set.hold(ROOT, 5, listener).hold(ROOT, 6, accepted).hold(ROOT, 7, client)
    const pids = await restore(planned(set).program)
    using pidfd = pidfdOpen(pids[2] ?? 0)
    using root = pidfdOpen(pids[1] ?? 0)
    using socket = FdSocket.from(pidfdGetfd(pidfd, 4), { framed: false, credentials: true })
    expect(socket.recvSync({ timeout: 1000 })?.credentials?.pid).toBe(pids[1])
    using connected = FdSocket.from(pidfdGetfd(root, 7), { framed: false })
    expect([connected.localName, connected.peerName]).toEqual([undefined, path])
  })

  test('a filter is an array of instructions that lies elsewhere', async () => {
    const set = new SocketSet()
    // BPF_RET | BPF_K with 4: the first four bytes of each message are let through.
    const soFilter = [(0x06n << 48n) | 4n]
    const [one, other] = set.unixPair({ type: DGRAM }, { type: DGRAM, opts: { soFilter } })
    set.hold(ROOT, 3, one).hold(ROOT, 4, other).message(other, 'before')
    const fd = await restored(set)
    const [sender, receiver] = [socketOf(fd(0, 3)), socketOf(fd(0, 4))]
    sender.sendSync('shortened')
    expect([read(receiver), read(receiver)]).toEqual(['before', 'shor'])
  })
})

describe('descriptors in flight', () => {
  test('127: one that is nowhere else, with a queue of its own', async () => {
    const set = new SocketSet()
    const [one, other] = set.unixPair()
    const [inner, end] = set.unixPair()
    set.hold(ROOT, 5, one).hold(CHILD, 6, other)
    set.message(end, 'inside').message(other, 'carry', [inner, end])
    const fd = await restored(set)
    const message = socketOf(fd(1, 6)).recvSync({ timeout: 1000 })
    const [, second] = message?.fds ?? []
    expect(read(socketOf(second as Fd))).toBe('inside')
  })

  test("128: in its own queue, and two in each other's", async () => {
    const set = new SocketSet()
    const [a, b] = set.unixPair()
    const [c, d] = set.unixPair()
    set.hold(ROOT, 3, a).hold(ROOT, 4, b).hold(CHILD, 5, c).hold(CHILD, 6, d)
    set.message(a, 'own', [a]).message(b, 'theirs', [c, d]).message(d, 'ours', [a, b])
    const fd = await restored(set)
    const message = socketOf(fd(0, 3)).recvSync({ timeout: 1000 })
    expect([message?.data.toString(), message?.fds.length]).toEqual(['own', 1])
    expect(socketOf(fd(1, 6)).recvSync({ timeout: 1000 })?.fds.length).toBe(2)
  })

  test('a message with a descriptor of another process comes before what followed it', async () => {
    const set = new SocketSet()
    const [own, end] = set.unixPair()
    const [one, other] = set.unixPair()
    set.hold(ROOT, 3, own).hold(ROOT, 4, end).hold(CHILD, 5, one).hold(CHILD, 6, other)
    set.message(other, 'with', [own]).message(other, 'plain')
    const fd = await restored(set)
    const socket = socketOf(fd(1, 6))
    const message = socket.recvSync({ timeout: 1000 })
    expect([message?.data.toString(), message?.fds.length]).toEqual(['with', 1])
    expect(read(socket)).toBe('plain')
  })

  test('one that is not in the images is refused', () => {
    const set = new SocketSet()
    const [one, other] = set.unixPair()
    set.hold(ROOT, 3, one).hold(ROOT, 4, other).message(one, 'x', [0x9999])
    expect(refusals(set)).toEqual(['right-without-file'])
  })
})

describe('names that are taken', () => {
  test('by a living socket: refused, and nothing happens to it', async () => {
    const path = join(folder(), 'srv')
    using living = listen(path)
    const set = new SocketSet()
    set.hold(ROOT, 3, set.unix({ name: path, state: LISTEN, backlog: 1 }))
    expect(refusals(set)).toEqual(['name-taken'])
    using client = await FdSocket.connect(path)
    using accepted = await living.accept()
    expect(accepted.localName).toBe(client.peerName)
  })

  test('by a datagram socket, by a file, and in the abstract name space', () => {
    const work = folder()
    const name = abstract()
    using datagram = FdSocket.bound(join(work, 'd'))
    using living = listen(name)
    writeFileSync(join(work, 'file'), '')
    for (const taken of [datagram.localName ?? '', living.name, join(work, 'file')]) {
      const set = new SocketSet()
      set.hold(ROOT, 3, set.unix({ name: taken, state: LISTEN, backlog: 1 }))
      expect(refusals(set)).toEqual(['name-taken'])
    }
  })

  test('by one that was left behind: it makes room, and is put back when the restore is', async () => {
    const work = folder()
    const path = join(work, 'srv')
    listen(path, { unlink: false }).close()
    const before = treeOf(work)
    const set = new SocketSet()
    set.hold(ROOT, 3, set.unix({ name: path, state: LISTEN, backlog: 1 }))
    const { program } = planned(set)
    await using run = start(program)
    await run.ready
    await run.rollback()
    expect(treeOf(work)).toEqual(before)
    await restore(program)
    expect(readdirSync(work)).toEqual(['srv'])
    using client = await FdSocket.connect(path)
    expect(client.peerName).toBe(path)
  })

  test('nothing is left of a restore that fails', async () => {
    const work = folder()
    const set = new SocketSet()
    const path = join(work, 'a')
    set.hold(ROOT, 3, set.unix({ name: path, state: LISTEN, backlog: 1 }))
    const [accepted, client] = set.unixPair({ name: join(work, 'sub/b'), deleted: true })
    set.hold(ROOT, 4, accepted).hold(CHILD, 5, client)
    const { program } = planned(set)
    writeFileSync(path, 'somebody has come first')
    const before = treeOf(work)
    await expect(start(program).commit()).rejects.toMatchObject({ code: 'EADDRINUSE' })
    expect(treeOf(work)).toEqual(before)
    expect(existsSync(join(work, 'sub'))).toBe(false)
  })
})

describe('what cannot be is refused before anything happens', () => {
  const cases: readonly (readonly [string, (set: SocketSet) => number])[] = [
    ['external-peer', (set) => set.unix({ peer: 77 })],
    ['external-socket', (set) => set.unix({ uflags: 8, state: CLOSE })],
    ['unknown-type', (set) => set.unix({ type: 9, state: CLOSE })],
    ['bad-name', (set) => set.unix({ state: LISTEN })],
    ['bad-name', (set) => set.unix({ name: 'relative', state: CLOSE })],
    ['bad-name', (set) => set.unix({ name: `/${'n'.repeat(120)}`, state: CLOSE })],
    ['no-folder', (set) => set.unix({ name: '/nowhere/at/all', state: CLOSE })],
    [
      'queue-without-sender',
      (set) => {
        const id = set.unix({ state: CLOSE })
        set.message(id, 'x')
        return id
      },
    ],
  ]
  for (const [reason, make] of cases) {
    test(reason, () => {
      const set = new SocketSet()
      set.hold(ROOT, 3, make(set))
      expect(refusals(set)).toEqual([reason])
    })
  }
})
