import { describe, expect, test } from 'vitest'
import type { Fd, SocketOptions } from '../src/index.ts'
import { compiled } from './fixtures/compiled.ts'
import { manyFiles, newFiles, textsOf } from './fixtures/files.ts'
import { newPair, next } from './fixtures/sockets.ts'
import { outputOf, run } from './fixtures/program.ts'

describe('a program in C', () => {
  test('gets frames, and sends them back, each with its descriptors', async () => {
    const [a, b] = newPair({ maxFds: 4000 })
    const peer = outputOf(run([compiled('peer.c'), 'frames'], { sockets: [b] }))
    const files = manyFiles(16)
    const sent: [Buffer, Fd[]][] = []
    for (const count of [0, 1, 2, 253, 254, 506, 507, 900]) {
      for (const length of [0, 1, 5, 300, 70_000]) {
        const fds = Array.from({ length: count }, (_, index) => files[index % 16] as Fd)
        sent.push([Buffer.alloc(length, `${count} and ${length}.`), fds])
      }
    }
    const sending = (async () => {
      for (const [data, fds] of sent) await a.send(data, fds)
      await a.end()
    })()
    for (const [data, fds] of sent) {
      const message = await next(a)
      expect(message.data.equals(data)).toBe(true)
      expect(textsOf(message)).toEqual(fds.map((_, index) => String(index % 16)))
      message.close()
    }
    await sending
    expect(await a.recv()).toBe(null)
    expect(await peer).toBe('')
  })

  test('sends descriptors with whichever bytes of their frame', async () => {
    const [a, b] = newPair()
    const peer = outputOf(run([compiled('peer.c'), 'variants'], { sockets: [b] }))
    for (const variant of [0, 1, 2]) {
      for (let count = 1; count <= 9; count++) {
        const message = await next(a)
        expect(message.data.toString('latin1').split('\0', 1)).toEqual([`variant ${variant}, ${count}`])
        expect(textsOf(message)).toEqual(Array.from({ length: count }, (_, index) => String(index)))
      }
    }
    expect(await a.recv()).toBe(null)
    expect(await peer).toBe('')
  })

  test.each<[string, SocketOptions]>([
    ['a raw stream', { framed: false }],
    ['seqpacket', { type: 'seqpacket' }],
  ])('gets messages of %s, and sends them back', async (_, options) => {
    const [a, b] = newPair(options)
    const peer = outputOf(run([compiled('peer.c'), 'raw'], { sockets: [b] }))
    for (let round = 1; round <= 20; round++) {
      const texts = Array.from({ length: round % 5 }, (_, index) => `${round}.${index}`)
      await a.send('x'.repeat(round * 100), newFiles(...texts))
      const message = await next(a)
      expect([message.data.length, textsOf(message)]).toEqual([round * 100, texts])
    }
    await a.end()
    expect(await a.recv()).toBe(null)
    expect(await peer).toBe('')
  })
})
