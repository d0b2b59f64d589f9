import { once } from 'node:events'
import net from 'node:net'
import { describe, expect, test } from 'vitest'
import type { Fd, FdSocket } from '../src/index.ts'
import { FRAME_HEADER, writeFrameHeader } from '../src/frame.ts'
import { manyFiles, newFile, newFiles, textsOf } from './fixtures/files.ts'
import { codeOf, failure, isQuiet, newPair, next, rawToFramed, received } from './fixtures/sockets.ts'
import { python } from './fixtures/program.ts'
import { newWitness } from './fixtures/witness.ts'

/** What each read brings: its bytes, and what is in its files. */
const reads = (socket: FdSocket): [string, string[]][] => {
  const all: [string, string[]][] = []
  while (socket.unreceived >= 0) {
    let message
    try {
      message = received(socket)
    } catch {
      break
    }
    all.push([message.data.toString(), textsOf(message)])
  }
  return all
}

describe('a raw stream', () => {
  test('B1.4: a read ends behind bytes that bring descriptors, and may begin before them', () => {
    const [a, b] = newPair({ framed: false })
    const [one, two, three, four] = newFiles('1', '2', '3', '4') as [Fd, Fd, Fd, Fd]
    for (const [bytes, fds] of [
      ['AAA', []],
      ['BBB', [one]],
      ['CCC', []],
      ['DDD', [two]],
      ['EEE', [three, four]],
    ] as [string, Fd[]][]) {
      a.sendSync(bytes, fds)
    }
    expect(reads(b)).toEqual([
      ['AAABBB', ['1']],
      ['CCCDDD', ['2']],
      ['EEE', ['3', '4']],
    ])
  })

  test('B1.4: descriptors come with the first of their bytes that is read', () => {
    const [a, b] = newPair({ framed: false, maxBytes: 5 })
    const [one, two] = newFiles('1', '2') as [Fd, Fd]
    a.sendSync('AAA')
    a.sendSync('BBB', [one])
    a.sendSync('CCCCCCC', [two])
    expect(reads(b)).toEqual([
      ['AAABB', ['1']],
      ['BCCCC', ['2']],
      ['CCC', []],
    ])
  })

  test('B1.4: halves of a message come one by one, the first with its descriptors', () => {
    const [a, b] = newPair({ framed: false, maxBytes: 2 })
    a.sendSync('ABCD', [newFile('1')])
    expect(reads(b)).toEqual([
      ['AB', ['1']],
      ['CD', []],
    ])
  })

  test('33, 34, 42: a read brings at most maxBytes, and what is more is read next', () => {
    const [a, b] = newPair({ framed: false, maxBytes: 10 })
    a.sendSync('0123456789abcdefghijklmno')
    expect(reads(b)).toEqual([
      ['0123456789', []],
      ['abcdefghij', []],
      ['klmno', []],
    ])
  })

  test('41: the end is null, again and again', () => {
    const [a, b] = newPair({ framed: false })
    a.sendSync('last')
    a.close()
    expect(received(b).data.toString()).toBe('last')
    expect([b.recvSync(), b.recvSync()]).toEqual([null, null])
  })
})

describe('a peer that takes no descriptors', () => {
  test('B1.6: stops at the same bounds, and the kernel closes what came', async () => {
    const [a, b] = newPair({ framed: false })
    const [one, two] = [newWitness(), newWitness()]
    a.sendSync('AAA')
    a.sendSync('BBB', [one.fd])
    a.sendSync('CCC', [two.fd])
    a.sendSync('DDD')
    a.close()
    const read = python(
      `before = os.listdir('/proc/self/fd')
got = [s.recv(100).decode(), os.read(3, 100).decode(), s.recv(100).decode()]
print_json(got + [os.listdir('/proc/self/fd') == before])`,
      { sockets: [b] },
    )
    expect(await read).toEqual(['AAABBB', 'CCC', 'DDD', true])
    expect([one.gone, two.gone]).toEqual([true, true])
  })

  test('B1.6: a net.Socket gets the bytes, and the kernel closes the descriptors', async () => {
    const [a, b] = newPair({ framed: false })
    const witness = newWitness()
    const socket = new net.Socket({ fd: b.take() })
    const ended = once(socket, 'close')
    let bytes = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (bytes += chunk))
    a.sendSync('one', [witness.fd, witness.fd])
    a.sendSync('two')
    // Only then: libuv takes a read that stops at such a bound for the last one, when the peer has ended by then.
    await expect.poll(() => bytes).toBe('onetwo')
    expect(witness.gone).toBe(true)
    a.close()
    await ended
  })
})

/** The bytes of a frame. */
const frame = (data: string, descriptors: number): Buffer => {
  const bytes = Buffer.alloc(FRAME_HEADER + Buffer.byteLength(data))
  writeFrameHeader(new DataView(bytes.buffer, bytes.byteOffset), bytes.length - FRAME_HEADER, descriptors)
  bytes.write(data, FRAME_HEADER)
  return bytes
}

describe('a framed stream', () => {
  test('bounds are kept, where a read would bring several messages', () => {
    const [a, b] = newPair()
    const files = manyFiles(3)
    a.sendSync('AAA')
    a.sendSync('BBB', files.slice(0, 1))
    a.sendSync('')
    a.sendSync('DDD', files.slice(1))
    a.sendSync('EEE')
    expect(reads(b)).toEqual([
      ['AAA', []],
      ['BBB', ['0']],
      ['', []],
      ['DDD', ['1', '2']],
      ['EEE', []],
    ])
  })

  test('descriptors are of the frame that they were sent with, wherever it is cut', () => {
    const bytes = Buffer.concat([frame('before', 0), frame('with', 1), frame('after', 1)])
    const begin = frame('before', 0).length
    const end = begin + frame('with', 1).length
    const [one, two] = newFiles('1', '2') as [Fd, Fd]
    for (let cut = 1; cut < bytes.length; cut++) {
      const [raw, framed] = rawToFramed()
      // Wherever it is cut, the descriptors of a frame go with bytes of that frame alone.
      for (const [from, to, fds] of [
        [0, begin, []],
        [begin, end, [one]],
        [end, bytes.length, [two]],
      ] as [number, number, Fd[]][]) {
        const inside = cut > from && cut < to
        raw.sendSync(bytes.subarray(from, inside ? cut : to), fds)
        if (inside) raw.sendSync(bytes.subarray(cut, to))
      }
      expect(reads(framed)).toEqual([
        ['before', []],
        ['with', ['1']],
        ['after', ['2']],
      ])
      framed.close()
    }
  })

  test('descriptors may come with any byte of their frame, and in several parts', () => {
    const bytes = frame('ten bytes.', 3)
    const files = manyFiles(3)
    for (let first = 0; first < bytes.length - 1; first++) {
      const [raw, framed] = rawToFramed()
      if (first > 0) raw.sendSync(bytes.subarray(0, first))
      raw.sendSync(bytes.subarray(first, first + 1), files.slice(0, 2))
      expect(isQuiet(framed)).toBe(true)
      raw.sendSync(bytes.subarray(first + 1), files.slice(2))
      expect(reads(framed)).toEqual([['ten bytes.', ['0', '1', '2']]])
    }
  })

  test('a receiver that waits gets the frame with its last byte', async () => {
    const [raw, framed] = rawToFramed()
    const message = next(framed)
    const [file] = manyFiles(1)
    for (const byte of frame('slow', 1).subarray(0, -1)) await raw.send(Buffer.from([byte]))
    await raw.send('w', [file!])
    expect(textsOf(await message)).toEqual(['0'])
  })

  test('B1.5: a long frame is gathered over bounds at which every read stops', () => {
    const [a, b] = newPair()
    const files = manyFiles(20)
    const fds = Array.from({ length: 600 }, (_, index) => files[index % 20] as Fd)
    const data = Buffer.alloc(60_000, 'long')
    a.sendSync(data, fds)
    const message = received(b)
    expect(message.data.equals(data)).toBe(true)
    expect(textsOf(message)).toEqual(fds.map((_, index) => String(index % 20)))
  })

  const eproto = (framed: FdSocket): string => {
    const { code, message } = failure(() => framed.recvSync({ timeout: 0 }))
    expect(code).toBe('EPROTO')
    return message
  }

  test.each([
    ['no header', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'no header'],
    ['flags', Buffer.concat([frame('', 0).subarray(0, 12), Buffer.from([1, 0, 0, 0])]), 'flags'],
    ['a length over maxBytes', frame('x'.repeat(101), 0), 'more than maxBytes'],
  ])('%s: the stream ends with EPROTO, and nobody has the descriptors', (_, bytes, why) => {
    const [raw, framed] = rawToFramed({ maxBytes: 100 })
    const [good, bad] = [newWitness(), newWitness()]
    raw.sendSync(frame('good', 1), [good.fd])
    raw.sendSync(bytes, [bad.fd])
    expect(received(framed).fdCount).toBe(1)
    expect(eproto(framed)).toContain(why)
    expect(eproto(framed)).toContain('framed: false')
    expect(bad.gone).toBe(true)
    expect(good.gone).toBe(false)
  })

  test('descriptors that no header promises, or that do not come, end the stream; frames before it are whole', () => {
    for (const [promised, came] of [
      [0, 1],
      [1, 2],
      [2, 1],
      [1, 0],
    ] as const) {
      const [raw, framed] = rawToFramed()
      const [good, witness] = [newWitness(), newWitness()]
      raw.sendSync(frame('good', 1), [good.fd])
      raw.sendSync(frame('bad', promised), Array<Fd>(came).fill(witness.fd))
      raw.sendSync(frame('never', 0))
      const message = received(framed)
      expect([message.data.toString(), message.fdCount]).toEqual(['good', 1])
      expect(eproto(framed)).toContain('descriptors')
      expect(witness.gone).toBe(true)
    }
  })

  test('a peer that ends inside of a frame: EPROTO, and nobody has its descriptors', () => {
    const [raw, framed] = rawToFramed()
    const witness = newWitness()
    raw.sendSync(frame('unfinished', 1).subarray(0, -1), [witness.fd])
    expect(isQuiet(framed)).toBe(true)
    expect(codeOf(() => framed.take())).toBe('EBUSY')
    raw.close()
    expect(eproto(framed)).toContain('the 1 descriptors')
    expect(witness.gone).toBe(true)
  })

  test('41: the end between frames is null, again and again', () => {
    const [a, b] = newPair()
    a.sendSync('last')
    a.close()
    expect(received(b).data.toString()).toBe('last')
    expect([b.recvSync(), b.recvSync()]).toEqual([null, null])
  })

  test('frames that were read ahead are closed with the socket', () => {
    const [a, b] = newPair()
    const witness = newWitness()
    a.sendSync('one')
    a.sendSync('two', [witness.fd])
    expect(received(b).data.toString()).toBe('one')
    expect(codeOf(() => b.take())).toBe('EBUSY')
    b.close()
    expect(witness.gone).toBe(true)
  })
})
