import { describe, expect, test } from 'vitest'
import { Fd, FdSocket } from '../src/index.ts'
import type { FdLike, Payload } from '../src/index.ts'
import { manyFiles, newFile, newFiles, textOf, textsOf } from './fixtures/files.ts'
import { own } from './fixtures/disposal.ts'
import { claimed, codeOf, failure, isQuiet, links, newPair, next, received } from './fixtures/sockets.ts'
import { newWitness } from './fixtures/witness.ts'

describe.each(links)('descriptors through %s', (_, options) => {
  test('1, 20, 31, 32, 88, 94, 95, 99, 111: one arrives with its bytes, and is the same file', () => {
    const [a, b] = newPair(options)
    const file = newFile('the file')
    a.sendSync('bytes', [file])
    const message = own(b.recvSync({ timeout: undefined })!)
    expect(message.data.toString()).toBe('bytes')
    const fd = claimed(message)
    expect(textOf(fd)).toBe('the file')
    expect([fd.stat().dev, fd.stat().ino]).toEqual([file.stat().dev, file.stat().ino])
    expect(fd.fd).not.toBe(file.fd)
  })

  test.each([2, 3, 4, 5, 10, 64, 65, 100, 252, 253])(
    'B1.1, 2, 19, 62, 89, 102, 112: %i arrive in the order in which they were sent',
    (count) => {
      const [a, b] = newPair(options)
      const files = manyFiles(count)
      a.sendSync('x', files)
      const message = received(b)
      expect(message.fdCount).toBe(count)
      expect(textsOf(message)).toEqual(files.map((_, index) => String(index)))
      expect(isQuiet(b)).toBe(true)
    },
  )

  test('61: each stands for what it was sent for', () => {
    const [a, b] = newPair(options)
    const [c, d] = newPair({ type: 'seqpacket' })
    a.sendSync('2', [c, d])
    const [first, second] = received(b).claim() as [Fd, Fd]
    const [gotC, gotD] = [own(FdSocket.from(first)), own(FdSocket.from(second))]
    gotC.sendSync('to d')
    gotD.sendSync('to c')
    expect(received(d).data.toString()).toBe('to d')
    expect(received(c).data.toString()).toBe('to c')
  })

  test('7, 53, 55, 90, 98, 102: no descriptors are none, however they are not given', () => {
    const [a, b] = newPair(options)
    for (const none of [undefined, [], new Set<FdLike>()]) {
      a.sendSync('x', none)
      const message = received(b)
      expect([message.data.toString(), message.fdCount, message.fds, message.claim()]).toEqual([
        'x',
        0,
        [],
        [],
      ])
    }
  })

  test('53, 55: messages with and without descriptors come one by one', () => {
    const [a, b] = newPair(options)
    const [one, two] = newFiles('1', '2') as [Fd, Fd]
    for (const [text, fds] of [
      ['a', []],
      ['bb', [one]],
      ['ccc', []],
      ['dddd', [two, one]],
    ] as [string, Fd[]][]) {
      a.sendSync(text, fds)
      const message = received(b)
      expect([message.data.toString(), textsOf(message)]).toEqual([text, fds.map(textOf)])
    }
  })

  test('B1.2, 97, 106: what is no descriptor is EBADF, and nothing of the message goes', () => {
    const [a, b] = newPair(options)
    const file = newFile('good')
    const closed = newFile()
    closed.close()
    for (const bad of [-1, -0x5555, 9999, 255 * 1024, 0x7fffffff, 2 ** 31, 1.5, NaN, closed, { fd: -1 }]) {
      for (const fds of [[bad], [file, bad], [bad, file]]) {
        const { code, syscall } = failure(() => {
          a.sendSync('bad', fds)
        })
        expect([code, syscall]).toEqual(['EBADF', 'sendmsg'])
      }
    }
    expect(isQuiet(b)).toBe(true)
    a.sendSync('good', [file])
    const message = received(b)
    expect([message.data.toString(), textsOf(message)]).toEqual(['good', ['good']])
  })

  test('63: they live on their way when the sender has closed its own', async () => {
    const [a, b] = newPair(options)
    const [c, d] = newPair({ type: 'seqpacket' })
    await a.send('x', [c])
    c.close()
    expect(isQuiet(d)).toBe(true)
    own(FdSocket.from(claimed(received(b)))).sendSync('still alive')
    expect(received(d).data.toString()).toBe('still alive')
  })

  test('moved, they are closed when they have been sent, and not before', () => {
    const [a, b] = newPair(options)
    const [one, two] = newFiles('1', '2') as [Fd, Fd]
    expect(
      codeOf(() => {
        a.sendSync('x', [one, 9999], { move: true })
      }),
    ).toBe('EINVAL')
    expect(
      codeOf(() => {
        a.sendSync('x', Array(0x10000).fill(one) as Fd[], { move: true })
      }),
    ).toBe('EINVAL')
    expect([one.fd, two.fd]).not.toContain(-1)
    a.sendSync('x', [one, two], { move: true })
    expect([one.fd, two.fd]).toEqual([-1, -1])
    expect(textsOf(received(b))).toEqual(['1', '2'])
  })

  test('nobody has them any more when the message is closed', () => {
    const [a, b] = newPair(options)
    const [read, unread, left] = [newWitness(), newWitness(), newWitness()]
    a.sendSync('x', [read.fd, read.fd])
    a.sendSync('x', [unread.fd, unread.fd])
    a.sendSync('x', [left.fd])
    const first = received(b)
    expect(first.fds).toHaveLength(2)
    expect(read.gone).toBe(false)
    first.close()
    expect(read.gone).toBe(true)
    received(b).close()
    expect(unread.gone).toBe(true)
    expect(left.gone).toBe(false)
    b.close()
    expect(left.gone).toBe(true)
  })

  test('100: a receiver that waits gets them when they are sent', async () => {
    const [a, b] = newPair(options)
    const message = next(b)
    await a.send('x', [newFile('late')])
    expect(textsOf(await message)).toEqual(['late'])
  })

  test('21: descriptors may be any iterable, each a number or what has one', () => {
    const [a, b] = newPair(options)
    const [one, two, three] = newFiles('1', '2', '3') as [Fd, Fd, Fd]
    function* generate(): Generator<FdLike> {
      yield one.fd
      yield two
      yield { fd: three.fd }
    }
    a.sendSync('x', generate())
    expect(textsOf(received(b))).toEqual(['1', '2', '3'])
  })

  test('22, 23: bytes are a string, a part of an array, or a list of arrays, which are sent as one', () => {
    const [a, b] = newPair(options)
    const payloads: [Payload, string][] = [
      ['é', 'é'],
      [new Uint8Array([104, 105]), 'hi'],
      [Buffer.from('a part').subarray(2), 'part'],
      [[Buffer.from('spam'), new Uint8Array([45]), Buffer.alloc(0), Buffer.from('eggs')], 'spam-eggs'],
    ]
    for (const [payload, text] of payloads) {
      a.sendSync(payload)
      expect(received(b).data.toString()).toBe(text)
    }
  })

  test('24: what is no payload, no list and no option is refused, and nothing goes', () => {
    const [a, b] = newPair(options)
    const send = a.sendSync.bind(a) as (...args: unknown[]) => void
    for (const data of [undefined, null, 1, {}, ['text'], new Uint16Array(2), [[]]]) {
      expect(
        codeOf(() => {
          send(data)
        }),
      ).toBe('EINVAL')
    }
    for (const bad of [{ flags: 1 }, { timeout: -1 }, { timeout: 'x' }, { to: 1 }]) {
      expect(
        codeOf(() => {
          send('x', [], bad)
        }),
      ).toBe('EINVAL')
    }
    expect(() => {
      send('x', 1)
    }).toThrow(TypeError)
    expect(isQuiet(b)).toBe(true)
  })
})

describe('how many', () => {
  test.each(links.slice(1))(
    'B1.1: 254 are refused before anything of the message goes, by %s',
    (_, options) => {
      const [a, b] = newPair(options)
      const file = newFile('x')
      const all = Array<Fd>(254).fill(file)
      expect(
        codeOf(() => {
          a.sendSync('x', all)
        }),
      ).toBe('EINVAL')
      expect(isQuiet(b)).toBe(true)
      a.sendSync('x', all.slice(1))
      expect(received(b).fdCount).toBe(253)
    },
  )

  test.each([254, 506, 507, 1024])(
    'B1.1: %i are split and come as one message of a framed stream',
    (count) => {
      const [a, b] = newPair()
      const files = manyFiles(16)
      const sent = Array.from({ length: count }, (_, index) => files[index % 16] as Fd)
      const file = newFile('after')
      for (const data of [Buffer.alloc(0), Buffer.from('xyz'), Buffer.alloc(20_000, 'b')]) {
        a.sendSync(data, sent)
        a.sendSync('after', [file])
        const message = received(b)
        expect(message.data.equals(data)).toBe(true)
        expect(textsOf(message)).toEqual(sent.map((_, index) => String(index % 16)))
        message.close()
        const after = received(b)
        expect([after.data.toString(), textsOf(after)]).toEqual(['after', ['after']])
      }
    },
  )

  test('B1.1: a frame has 253 for each of its bytes, and the sixteen of its header count', () => {
    const [a] = newPair()
    const file = newFile()
    const { message } = failure(() => {
      a.sendSync('', Array<Fd>(253 * 16 + 1).fill(file))
    })
    expect(message).toContain('at most 4048')
  })
})

describe('no bytes', () => {
  test.each(links.slice(1))('B1.3, 57: descriptors without bytes are refused, by %s', (_, options) => {
    const [a, b] = newPair(options)
    const file = newFile()
    for (const empty of ['', Buffer.alloc(0), [], [Buffer.alloc(0)]]) {
      const { code, message } = failure(() => {
        a.sendSync(empty, [file])
      })
      expect(code).toBe('EINVAL')
      expect(message).toContain('at least one byte')
    }
    expect(isQuiet(b)).toBe(true)
  })

  test('B1.3, 57: a frame has its header to go with', () => {
    const [a, b] = newPair()
    a.sendSync('', [newFile('alone')])
    const message = received(b)
    expect([message.data.length, textsOf(message)]).toEqual([0, ['alone']])
  })
})

describe('a socket that was closed', () => {
  test.each(links)('28, 37: fails with EBADF, as %s', async (_, options) => {
    const [a] = newPair(options)
    a.close()
    const calls: (() => unknown)[] = [
      () => {
        a.sendSync('x')
      },
      () => a.recvSync(),
      () => a.peer,
      () => a.peerPidfd(),
      () => a.localName,
      () => a.peerName,
      () => a.unreceived,
      () => a.take(),
    ]
    expect(calls.map(codeOf)).toEqual(calls.map(() => 'EBADF'))
    for (const call of [a.send('x'), a.recv(), a.end()])
      await expect(call).rejects.toMatchObject({ code: 'EBADF' })
    a.close()
  })
})
