import { spawn, spawnSync } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import net from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_WRITE,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_EOF,
  NOTE_DRAINED,
  NOTE_LOWAT,
  NOTE_NODATA,
} from '../src/index.ts'
import { change, due, newFifo, newQueue, own } from './fixtures/queue.ts'
import {
  connect,
  connectLocally,
  descriptorOf,
  listen,
  listenLocally,
  ownSocket,
  send,
} from './fixtures/sockets.ts'
import { until } from './fixtures/workers.ts'

const second = 1000

describe('READ', () => {
  test('W1: of a socket, data is the number of bytes', async () => {
    const [kq, { near, far }] = [newQueue(), await connect()]
    change(kq, { ident: descriptorOf(near), filter: EVFILT_READ, flags: EV_ADD, udata: 4 })
    for (const text of ['a', 'b', 'c']) await send(far, text)
    expect(kq.kevent(null, 8, second)).toMatchObject([{ data: 3, fflags: 0, udata: 4 }])
  })

  test('W2, W10: of a FIFO, data is the number of bytes', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    fifo.write('abc')
    expect(due(kq)).toMatchObject([{ data: 3 }])
  })

  test('LOWAT holds back fewer bytes than its data', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD, fflags: NOTE_LOWAT, data: 3 })
    fifo.write('ab')
    expect(due(kq)).toEqual([])
    fifo.write('c')
    expect(due(kq)).toMatchObject([{ data: 3 }])
  })

  test('W4: what the peer wrote before it shut down comes as one event with EOF', async () => {
    const [kq, { near, far }] = [newQueue(), await connect()]
    change(kq, { ident: descriptorOf(near), filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    far.end('12345678')
    await once(far, 'finish')
    expect(kq.kevent(null, 8, second)).toMatchObject([{ flags: EV_CLEAR | EV_EOF, data: 8 }])
    expect(due(kq)).toEqual([])
  })

  test('W5: a reset connection is EOF, with the error in fflags', async () => {
    const [kq, { near, far }] = [newQueue(), await connect()]
    change(kq, { ident: descriptorOf(near), filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    far.resetAndDestroy()
    expect(kq.kevent(null, 8, second)).toMatchObject([{ flags: EV_CLEAR | EV_EOF, fflags: 104 }])
  })

  test('W7: of a TCP listener, data is the number of connections that wait', async () => {
    // Nothing is accepted: the event loop that would do it does not turn before the end of the test.
    const [kq, server] = [newQueue(), await listen()]
    change(kq, { ident: descriptorOf(server), filter: EVFILT_READ, flags: EV_ADD })
    const { port } = server.address() as net.AddressInfo
    const connects =
      'import socket,sys; s=[socket.create_connection(("127.0.0.1",int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]; print(len(s),flush=True); sys.stdin.read()'
    const first = own(spawn('python3', ['-c', connects, `${port}`, '1']))
    expect(kq.kevent(null, 8, 10 * second)).toMatchObject([{ data: 1 }])
    const others = own(spawn('python3', ['-c', connects, `${port}`, '2']))
    let data = 1
    while (data < 3) data = kq.kevent(null, 8, 10 * second)[0]!.data
    expect(data).toBe(3)
    first.kill()
    others.kill()
  })

  test('of an AF_UNIX listener, data is 1, however many connections wait', async () => {
    const [kq, server] = [newQueue(), await listenLocally()]
    const accepted: net.Socket[] = []
    server.on('connection', (socket) => accepted.push(ownSocket(socket)))
    const ident = descriptorOf(server)
    change(kq, { ident, filter: EVFILT_READ, flags: EV_ADD, udata: 6 })
    expect(due(kq)).toEqual([])
    for (let count = 0; count < 3; count++) {
      ownSocket(net.connect(server.address() as string))
      const event = { ident, filter: EVFILT_READ, flags: 0, fflags: 0, data: 1, udata: 6 }
      expect(due(kq)).toEqual([event])
    }
    await until(() => accepted.length === 3)
    expect(due(kq)).toEqual([])
  })

  test('W8: the last writer of a FIFO leaves: EOF for every reader; a new writer ends it', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const readers = [fifo.open(constants.O_RDONLY), fifo.open(constants.O_RDONLY)]
    const writer = fifo.open(constants.O_WRONLY)
    fifo.close()
    change(kq, ...readers.map((ident) => ({ ident, filter: EVFILT_READ, flags: EV_ADD })))
    expect(due(kq)).toEqual([])
    fifo.close(writer)
    const events = due(kq)
    expect(events.map(({ ident }) => ident).sort()).toEqual(readers)
    for (const event of events) expect(event).toMatchObject({ flags: EV_EOF, data: 0 })
    spawnSync('sh', ['-c', 'exec 3<>"$0"; echo x >&3', fifo.path]) // comes, writes and goes
    expect(due(kq)).toMatchObject([
      { flags: EV_EOF, data: 2 },
      { flags: EV_EOF, data: 2 },
    ])
    fifo.open(constants.O_WRONLY)
    expect(due(kq)).toMatchObject([
      { flags: 0, data: 2 },
      { flags: 0, data: 2 },
    ])
  })

  test('W11: of the write end of a FIFO, WRITE of the read end: never', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const reader = fifo.open(constants.O_RDONLY)
    const writer = fifo.open(constants.O_WRONLY)
    fifo.close()
    change(
      kq,
      { ident: writer, filter: EVFILT_READ, flags: EV_ADD },
      { ident: reader, filter: EVFILT_WRITE, flags: EV_ADD | EV_DISPATCH },
      { ident: reader, filter: EVFILT_WRITE, flags: EV_ENABLE, fflags: NOTE_NODATA },
    )
    expect(due(kq)).toEqual([])
    fifo.close(writer)
    expect(due(kq)).toEqual([])
    const again = fifo.open(constants.O_WRONLY)
    change(kq, { ident: again, filter: EVFILT_READ, flags: EV_ADD, fflags: NOTE_NODATA })
    fifo.close(reader)
    expect(due(kq)).toEqual([])
  })

  test('of a terminal, data is what its lines hold; its end is EOF', async () => {
    const kq = newQueue()
    const program = `import json,os,pty,sys
m,s=pty.openpty(); print(os.ttyname(s),flush=True)
for line in sys.stdin: os.write(m,json.loads(line).encode())`
    const peer = own(spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] }))
    const type = (text: string): void => void peer.stdin.write(`${JSON.stringify(text)}\n`)
    const [path] = (await once(peer.stdout, 'data')) as [Buffer]
    const ident = openSync(
      path.toString().trim(),
      constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK,
    )
    try {
      change(kq, { ident, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR, udata: 3 })
      type('ab') // no line yet
      expect(due(kq)).toEqual([])
      type('c\n')
      const line = { ident, filter: EVFILT_READ, flags: EV_CLEAR, fflags: 0, data: 4, udata: 3 }
      expect(await kq.wait({ timeout: 10 * second })).toEqual([line])
      peer.stdin.end()
      expect(await kq.wait({ timeout: 10 * second })).toMatchObject([{ ident, flags: EV_CLEAR | EV_EOF }])
    } finally {
      kq.detach(ident)
      closeSync(ident)
    }
  })

  test('W17: an empty datagram is an event, and an unconnected socket is writable at once', async () => {
    const kq = newQueue()
    const socket = dgram.createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    const ident = (socket as unknown as Record<symbol, { handle: { fd: number } }>)[
      Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')!
    ]!.handle.fd
    change(kq, { ident, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    spawnSync('python3', [
      '-c',
      `import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", ${socket.address().port}))`,
    ])
    expect(kq.kevent(null, 8, second)).toMatchObject([{ data: 0, flags: EV_CLEAR }])
    // Nothing waits to be sent.
    change(kq, { ident, filter: EVFILT_WRITE, flags: EV_ADD | EV_CLEAR })
    expect(due(kq).filter(({ filter }) => filter === EVFILT_WRITE)).toHaveLength(1)
    kq.detach(ident)
    socket.close()
  })
})

describe('WRITE', () => {
  test('W13: of a FIFO without a reader is EOF with data 0', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const writer = fifo.open(constants.O_WRONLY)
    fifo.close()
    change(kq, { ident: writer, filter: EVFILT_WRITE, flags: EV_ADD })
    expect(due(kq)).toMatchObject([{ flags: EV_EOF, data: 0 }])
  })

  test('W14: of a FIFO, data is the room', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_WRITE, flags: EV_ADD | EV_CLEAR })
    expect(due(kq)).toMatchObject([{ data: 65536 }])
    fifo.write('x'.repeat(36))
    change(kq, { ident: fifo.fd, filter: EVFILT_WRITE, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ data: 65500 }])
  })

  test('of a full FIFO comes when there is room again', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    fifo.fill()
    change(kq, { ident: fifo.fd, filter: EVFILT_WRITE, flags: EV_ADD })
    expect(due(kq)).toEqual([])
    fifo.read(8192)
    expect(due(kq)).toMatchObject([{ data: 8192 }])
  })

  test('LOWAT of a socket: less room than that is none; it comes when the peer has read', async () => {
    const [kq, { near, far }] = [newQueue(), await connectLocally()]
    const knote = { ident: descriptorOf(near), filter: EVFILT_WRITE }
    change(kq, { ...knote, flags: EV_ADD })
    const [idle] = due(kq)
    const room = idle!.data
    expect(room).toBeGreaterThan(1 << 14)
    change(kq, { ...knote, flags: EV_ADD, fflags: NOTE_LOWAT, data: room })
    expect(due(kq)).toMatchObject([{ data: room }])
    await send(near, 'x'.repeat(1 << 14)) // poll(2) calls it writable all the same
    expect(due(kq)).toEqual([])
    const wait = kq.wait({ timeout: 10 * second })
    far.resume()
    expect(await wait).toMatchObject([{ ...knote, data: room }])
  })

  test('W16: of a listener comes never', async () => {
    const [kq, server] = [newQueue(), await listen()]
    change(kq, { ident: descriptorOf(server), filter: EVFILT_WRITE, flags: EV_ADD })
    expect(due(kq)).toEqual([])
  })

  test('of a connected socket comes at once, and a half-closing peer is no EOF', async () => {
    const [kq, { near, far }] = [newQueue(), await connect()]
    far.end()
    await once(far, 'finish')
    const ident = descriptorOf(near)
    for (const fflags of [0, NOTE_NODATA]) {
      change(kq, { ident, filter: EVFILT_READ, flags: EV_ADD, fflags })
      change(kq, { ident, filter: EVFILT_WRITE, flags: EV_ADD, fflags })
      const events = due(kq)
      expect(events.find(({ filter }) => filter === EVFILT_WRITE)).toMatchObject({ flags: 0 })
      expect(events.find(({ filter }) => filter === EVFILT_READ)).toMatchObject({ flags: EV_EOF })
      change(
        kq,
        { ident, filter: EVFILT_READ, flags: EV_DELETE },
        { ident, filter: EVFILT_WRITE, flags: EV_DELETE },
      )
    }
  })
})

describe('READ and WRITE of one descriptor', () => {
  test('W19, M1: are two knotes; one slot at a time, both arrive', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(
      kq,
      { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR },
      { ident: fifo.fd, filter: EVFILT_WRITE, flags: EV_ADD | EV_CLEAR },
    )
    fifo.write('x')
    const filters = [...due(kq, 1), ...due(kq, 1)].map(({ filter }) => filter).sort()
    expect(filters).toEqual([EVFILT_READ, EVFILT_WRITE].sort())
  })

  test('removing the one leaves the other', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(
      kq,
      { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD },
      { ident: fifo.fd, filter: EVFILT_WRITE, flags: EV_ADD },
      { ident: fifo.fd, filter: EVFILT_WRITE, flags: EV_DELETE },
    )
    expect(due(kq)).toEqual([])
    fifo.write('x')
    expect(due(kq)).toMatchObject([{ filter: EVFILT_READ }])
  })
})

describe('NOTE_NODATA and NOTE_DRAINED', () => {
  test('NODATA: data stays 0, and the level is not read', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_NODATA })
    fifo.write('abc')
    expect(due(kq)).toMatchObject([{ data: 0, fflags: 0 }])
    fifo.write('d') // an edge while it is held
    fifo.read(4)
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ENABLE, fflags: NOTE_NODATA })
    expect(due(kq)).toEqual([]) // EV_ENABLE has read the level
  })

  test('DRAINED: nothing is missed that came after the handler found the end', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    for (let round = 0; round < 50; round++) {
      fifo.write('abc')
      expect(due(kq)).toHaveLength(1)
      expect(fifo.read(8)).toBe('abc')
      if (round % 2 === 1) fifo.write('d')
      change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ENABLE, fflags: NOTE_DRAINED })
      expect(due(kq)).toHaveLength(round % 2)
      if (round % 2 === 0) continue
      fifo.read(8)
      change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ENABLE, fflags: NOTE_DRAINED })
    }
  })
})
