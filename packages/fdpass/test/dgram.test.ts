import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Fd, FdSocket } from '../src/index.ts'
import { newFile, newFiles, textOf, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { codeOf, failure, isQuiet, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { python } from './fixtures/program.ts'
import { newWitness } from './fixtures/witness.ts'

const type = 'dgram'
const names = (): [string, string] => {
  const folder = newFolder()
  return [join(folder, 'a'), join(folder, 'b')]
}

describe('datagrams', () => {
  test('B1.3, 53, 57, 59: are not merged, and empty ones are messages, with descriptors or without', async () => {
    const [a, b] = newPair({ type })
    const [one, two] = newFiles('1', '2') as [Fd, Fd]
    a.sendSync('_', [one])
    a.sendSync('')
    a.sendSync('xx', [one, two])
    a.sendSync('')
    const child = python(
      `socket.send_fds(s, [b''], [0, 0]); socket.send_fds(s, [b''], [0]); print_json('sent')`,
      { sockets: [a] },
    )
    expect(await child).toBe('sent')
    const counts = Array.from({ length: 6 }, () => received(b)).map(({ data, fdCount }) => [
      data.length,
      fdCount,
    ])
    expect(counts).toEqual([
      [1, 1],
      [0, 0],
      [2, 2],
      [0, 0],
      [0, 2],
      [0, 1],
    ])
    expect(isQuiet(b)).toBe(true)
  })

  test('34, 54: longer than maxBytes are told of, with what came; the next one is whole', () => {
    const [a, b] = newPair({ type, maxBytes: 3 })
    const witness = newWitness()
    a.sendSync('hello', [witness.fd])
    a.sendSync('bye')
    expect(failure(() => b.recvSync())).toMatchObject({
      code: 'EMSGSIZE',
      data: Buffer.from('hel'),
      closed: 1,
    })
    expect(witness.gone).toBe(true)
    expect(received(b).data.toString()).toBe('bye')
  })

  test('B1.20: longer than the buffer less 32 are EMSGSIZE', () => {
    const [a, b] = newPair({ type, sendBuffer: 65_536 })
    expect(
      codeOf(() => {
        a.sendSync(Buffer.alloc(131_072 - 31))
      }),
    ).toBe('EMSGSIZE')
    a.sendSync(Buffer.alloc(131_072 - 32))
    expect(received(b).data.length).toBe(131_072 - 32)
  })
})

describe('unconnected datagrams', () => {
  test('60, 40: go to the name that they are sent to, and tell whence they come', async () => {
    const [nameA, nameB] = names()
    const [a, b] = [own(FdSocket.bound(nameA)), own(FdSocket.bound(nameB))]
    a.sendSync('to b', [newFile('from a')], { to: nameB })
    const question = await next(b)
    expect([question.data.toString(), textsOf(question), question.from]).toEqual(['to b', ['from a'], nameA])
    await b.send('to a', [newFile('from b')], { to: question.from })
    const answer = await next(a)
    expect([answer.data.toString(), textsOf(answer), answer.from]).toEqual(['to a', ['from b'], nameB])
  })

  test('60: go to abstract names, of which they tell too', () => {
    const [nameA, nameB] = [`\0fdpass-a-${process.pid}`, `\0fdpass-b-${process.pid}`]
    const [a, b] = [own(FdSocket.bound(nameA)), own(FdSocket.bound(nameB))]
    a.sendSync('x', [newFile('abstract')], { to: nameB })
    const message = received(b)
    expect([message.from, textsOf(message)]).toEqual([nameA, ['abstract']])
  })

  test('of a connected socket without a name come from nowhere', async () => {
    const [name] = names()
    const bound = own(FdSocket.bound(name))
    const connected = own(await FdSocket.connect(name, { type }))
    connected.sendSync('x', [newFile('y')])
    const message = received(bound)
    expect([message.from, textsOf(message), connected.peerName]).toEqual([undefined, ['y'], name])
  })

  test('need a name to go to', () => {
    const [name] = names()
    const bound = own(FdSocket.bound(name))
    expect(
      codeOf(() => {
        bound.sendSync('x')
      }),
    ).toBe('ENOTCONN')
    expect(
      codeOf(() => {
        bound.sendSync('x', [], { to: '' })
      }),
    ).toBe('EINVAL')
    expect(
      codeOf(() => {
        newPair({ type: 'seqpacket' })[0].sendSync('x', [], { to: name })
      }),
    ).toBe('EINVAL')
  })

  test('to a name that nobody has fail, and nothing goes', async () => {
    const [nameA, nameB] = names()
    const a = own(FdSocket.bound(nameA))
    const witness = newWitness()
    expect(
      codeOf(() => {
        a.sendSync('x', [witness.fd], { to: nameB })
      }),
    ).toBe('ENOENT')
    FdSocket.bound(nameB, { unlink: false }).close()
    expect((await rejection(a.send('x', [witness.fd], { to: nameB }))).code).toBe('ECONNREFUSED')
    expect(witness.gone).toBe(true)
  })

  test('60: to a receiver whose queue is full wait, and come in order when it receives', async () => {
    const [nameA, nameB] = names()
    const [a, b] = [own(FdSocket.bound(nameA)), own(FdSocket.bound(nameB))]
    const files = newFiles(...Array.from({ length: 50 }, (_, index) => String(index)))
    const sent = files.map((file, index) => a.send(String(index), [file], { to: nameB }))
    for (const file of files) file.close()
    const seen = []
    for (let i = 0; i < 50; i++) {
      const message = await next(b)
      seen.push([message.data.toString(), textOf(message.fds[0]!)])
    }
    expect(seen).toEqual(files.map((_, index) => [String(index), String(index)]))
    await Promise.all(sent)
  })

  test('to a full queue fail with ETIMEDOUT at the deadline, and nothing of them goes', async () => {
    const [nameA, nameB] = names()
    const [a, b] = [own(FdSocket.bound(nameA)), own(FdSocket.bound(nameB))]
    let count = 0
    try {
      for (; ; count++) a.sendSync('x', [], { to: nameB, timeout: 0 })
    } catch (error) {
      expect(error).toMatchObject({ code: 'ETIMEDOUT' })
    }
    expect(
      codeOf(() => {
        a.sendSync('late', [0], { to: nameB, timeout: 5 })
      }),
    ).toBe('ETIMEDOUT')
    expect((await rejection(a.send('late', [0], { to: nameB, timeout: 5 }))).code).toBe('ETIMEDOUT')
    for (let i = 0; i < count; i++) expect(received(b).data.toString()).toBe('x')
    expect(isQuiet(b)).toBe(true)
  })
})
