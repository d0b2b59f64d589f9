import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { binding } from '../src/binding.ts'
import { FdSocket, FdTruncatedError, listen } from '../src/index.ts'
import type { Fd } from '../src/index.ts'
import { newFile, newFiles, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, codeOf, failure, isQuiet, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { program, python } from './fixtures/program.ts'
import { newWitness } from './fixtures/witness.ts'

const type = 'seqpacket'
const setting = (name: string): number => Number(readFileSync(`/proc/sys/net/core/${name}`, 'utf8'))

describe('packets', () => {
  test('33, 59: keep their bounds, and their descriptors', () => {
    const [a, b] = newPair({ type })
    const [one, two] = newFiles('1', '2') as [Fd, Fd]
    a.sendSync('A')
    a.sendSync('BB', [one])
    a.sendSync('CCC', [two, one])
    expect(
      [1, 2, 3].map(() => received(b)).map((message) => [message.data.toString(), textsOf(message)]),
    ).toEqual([
      ['A', []],
      ['BB', ['1']],
      ['CCC', ['2', '1']],
    ])
  })

  test.each([1, 63, 64, 65, 4096])('of %i bytes keep them, whenever somebody looks', (length) => {
    const [a, b] = newPair({ type })
    const texts = Array.from({ length: 300 }, (_, n) => String(n).padEnd(length, '.').slice(0, length))
    const messages = texts.map((text) => {
      a.sendSync(text)
      return received(b)
    })
    const data = messages.map((message) => message.data)
    expect(data.map(String)).toEqual(texts)
    data[1]!.fill('!')
    expect(messages.map((message) => String(message.data))).toEqual(texts.with(1, '!'.repeat(length)))
  })

  test('81: of several parts are one', () => {
    const [a, b] = newPair({ type, maxBytes: 10 })
    a.sendSync([Buffer.from('merge'), Buffer.from(' me')])
    expect(received(b).data.toString()).toBe('merge me')
    a.sendSync(['tru', '', 'ncate', '', '', ' me', ''].map((part) => Buffer.from(part)))
    expect(failure(() => received(b))).toMatchObject({ code: 'EMSGSIZE', data: Buffer.from('truncate m') })
    expect(isQuiet(b)).toBe(true)
  })

  test('34, 77: longer than maxBytes are told of, with what came; the rest does not come later', () => {
    const [a, b] = newPair({ type, maxBytes: 3 })
    const witness = newWitness()
    a.sendSync('hello', [witness.fd])
    const error = failure(() => b.recvSync())
    expect(error).toBeInstanceOf(FdTruncatedError)
    expect(error).toMatchObject({ code: 'EMSGSIZE', syscall: 'recvmsg', data: Buffer.from('hel'), closed: 1 })
    expect(witness.gone).toBe(true)
    expect(isQuiet(b)).toBe(true)
    a.sendSync('bye')
    expect(received(b).data.toString()).toBe('bye')
  })

  test('78, 83: empty ones are not sent, because they would look like the end', async () => {
    const [a, b] = newPair({ type })
    for (const empty of ['', [], Buffer.alloc(0), [Buffer.alloc(0), Buffer.alloc(0)]]) {
      expect(
        codeOf(() => {
          a.sendSync(empty)
        }),
      ).toBe('EINVAL')
      expect((await rejection(a.send(empty))).message).toContain('end of the connection')
    }
    expect(isQuiet(b)).toBe(true)
  })

  test('B1.3, 57, 78, 83: empty ones of foreign peers are kept apart, with their descriptors, and are not the end', async () => {
    const [a, b] = newPair({ type })
    const child = python(
      `s.send(b'')
s.send(b'')
socket.send_fds(s, [b''], [0])
s.sendmsg([b'', b''])
s.send(b'x')
s.recv(1)
s.send(b'')
s.send(b'y')
s.shutdown(socket.SHUT_WR)
s.recv(1)
print_json('ended')`,
      { sockets: [a] },
    )
    const seen = []
    for (let i = 0; i < 5; i++) {
      const message = await next(b)
      seen.push([message.data.toString(), message.fdCount])
    }
    expect(seen).toEqual([
      ['', 0],
      ['', 0],
      ['', 1],
      ['', 0],
      ['x', 0],
    ])
    expect(isQuiet(b)).toBe(true)
    b.sendSync('x')
    expect((await next(b)).data.length).toBe(0)
    expect((await next(b)).data.toString()).toBe('y')
    expect(await b.recv()).toBe(null)
    b.close()
    expect(await child).toBe('ended')
  })

  test('B1.7: looking whether an empty one is the end takes no descriptors of the one behind it', async () => {
    const [a, b] = newPair({ type })
    const [c, d] = newPair({ type })
    const child = python(
      `r, w = os.pipe()
s.send(b'')
socket.send_fds(s, [b'with'], [w, w])
s.shutdown(socket.SHUT_WR)
os.close(w)
ready = socket.socket(fileno=4)
ready.send(b'x')
ready.recv(1)
print_json(len(os.read(r, 1)))`,
      { sockets: [a, c] },
    )
    // Now that it sends no more, an empty packet looks like the end.
    await next(d)
    const before = binding.ownedCount()
    const [empty, message] = [received(b), received(b)]
    expect([empty.data.length, empty.fdCount]).toEqual([0, 0])
    expect([message.data.toString(), message.fdCount, binding.ownedCount()]).toEqual(['with', 2, before + 2])
    expect(b.recvSync()).toBe(null)
    message.close()
    d.sendSync('x')
    // The reader of the pipe sees its end: nobody has a copy of the writer.
    expect(await child).toBe(0)
  })

  test('78: empty ones are told from the end to the last, with credentials', async () => {
    const [a, b] = newPair({ type, credentials: true })
    const child = python(`s.send(b''); s.send(b''); s.close(); print_json(os.getpid())`, { sockets: [a] })
    const pid = await child
    for (let i = 0; i < 2; i++) {
      const message = received(b)
      expect([message.data.length, message.credentials?.pid]).toEqual([0, pid])
    }
    expect([b.recvSync(), b.recvSync()]).toEqual([null, null])
  })

  test('B1.20: are as long as the buffer, less 32; longer ones are EMSGSIZE, and nothing goes', () => {
    for (const sendBuffer of [undefined, 65_536, setting('wmem_max') * 2]) {
      const [a, b] = newPair({ type, sendBuffer, maxBytes: 0x1000000 })
      const buffer =
        sendBuffer === undefined ? setting('wmem_default') : 2 * Math.min(sendBuffer, setting('wmem_max'))
      const witness = newWitness()
      const longest = Math.min(buffer - 32, 4_000_000)
      if (longest === buffer - 32) {
        const { code, message } = failure(() => {
          a.sendSync(Buffer.alloc(longest + 1), [witness.fd])
        })
        expect(code).toBe('EMSGSIZE')
        expect(message).toContain('net.core.wmem_max')
        expect(isQuiet(b)).toBe(true)
      }
      if (buffer > 5_000_000) {
        // What the kernel allocates at once has a limit of its own.
        expect(
          codeOf(() => {
            a.sendSync(Buffer.alloc(4_400_000), [witness.fd])
          }),
        ).toBe('ENOBUFS')
        expect(isQuiet(b)).toBe(true)
      }
      const data = Buffer.alloc(longest, 'long')
      a.sendSync(data, [witness.fd])
      expect(received(b).data.equals(data)).toBe(true)
    }
  })
})

describe('a connection', () => {
  test('84, 113: half-closed: what was sent comes, then the end; the other way goes on', async () => {
    const [a, b] = newPair({ type })
    a.sendSync('last words')
    await a.end()
    expect(
      codeOf(() => {
        a.sendSync('more')
      }),
    ).toBe('EPIPE')
    expect(received(b).data.toString()).toBe('last words')
    expect([b.recvSync(), await b.recv()]).toEqual([null, null])
    b.sendSync('an answer', [newFile('late')])
    expect(textsOf(received(a))).toEqual(['late'])
    await b.end()
    expect(await a.recv()).toBe(null)
  })

  test('79: that has ended is EPIPE, and no signal comes', async () => {
    const outcome = await program(
      `const codes = []
      for (const type of ['stream', 'seqpacket', 'dgram']) {
        const [a, b] = FdSocket.pair({ type })
        b.close()
        for (const fds of [[], [0]]) {
          codes.push(await codeOf(() => a.sendSync('Hello?', fds)))
          codes.push(await codeOf(() => a.send('Hello?', fds)))
          codes.push(await codeOf(() => a.send([Buffer.from('Anyone '), Buffer.from('there?')], fds)))
        }
      }
      print(codes)`,
      // Node ignores SIGPIPE of its own accord; this puts it back to what it was.
      { through: ['env', '--default-signal=PIPE'] },
    )
    expect(outcome).toEqual([
      ...Array<string>(12).fill('EPIPE'),
      'ECONNREFUSED',
      ...Array<string>(5).fill('ENOTCONN'),
    ])
  })

  test('79: is EPIPE for sendSync and send, with a handler of SIGPIPE that does not run', async () => {
    const outcome = await program(
      `let signals = 0
      process.on('SIGPIPE', () => signals++)
      const [a, b] = FdSocket.pair({ type: 'seqpacket' })
      b.close()
      const codes = [await codeOf(() => a.sendSync('x')), await codeOf(() => a.send('x', [0]))]
      process.kill(process.pid, 'SIGPIPE')
      while (signals === 0) await new Promise((resolve) => setImmediate(resolve))
      print([...codes, signals])`,
    )
    expect(outcome).toEqual(['EPIPE', 'EPIPE', 1])
  })

  test('a peer that was closed with packets unread is ECONNRESET, and then the end', () => {
    const [a, b] = newPair({ type })
    const witness = newWitness()
    a.sendSync('unread', [witness.fd])
    b.close()
    expect(witness.gone).toBe(true)
    expect(codeOf(() => a.recvSync())).toBe('ECONNRESET')
    expect(a.recvSync()).toBe(null)
  })

  test('108, 109, 110: packets go both ways, a lot of them, in order', async () => {
    const path = `${newFolder()}/socket`
    const listener = own(listen(path, { type }))
    const client = own(await FdSocket.connect(path, { type }))
    const server = await accepted(listener)
    const exchange = async (from: FdSocket, to: FdSocket): Promise<void> => {
      const sent = (async () => {
        for (let i = 0; i < 2000; i++) await from.send(Buffer.alloc(1 + (i % 5000), String(i % 10)))
        await from.end()
      })()
      let count = 0
      for await (const message of to) {
        expect([message.data.length, message.data.toString('latin1', 0, 1)]).toEqual([
          1 + (count % 5000),
          String(count % 10),
        ])
        message.close()
        count++
      }
      await sent
      expect(count).toBe(2000)
    }
    await Promise.all([exchange(client, server), exchange(server, client)])
  })
})
