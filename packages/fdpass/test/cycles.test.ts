import { describe, expect, test } from 'vitest'
import { Fd, FdSocket } from '../src/index.ts'
import { own } from './fixtures/disposal.ts'
import { claimed, codeOf, links, newPair, received } from './fixtures/sockets.ts'
import { newWitness } from './fixtures/witness.ts'

/** Whether nobody has them. The kernel looks for circles, soon, when a Unix socket is closed that is in none. */
const collected = (...witnesses: { readonly gone: boolean }[]): boolean => {
  for (const socket of FdSocket.pair()) socket.close()
  return witnesses.every(({ gone }) => gone)
}

describe('sockets that are passed over themselves', () => {
  test.each(links)('B1.13: arrive, and work, of %s', (_, options) => {
    const [a, b] = newPair(options)
    a.sendSync('x', [a, b])
    const [first, second] = received(b).claim() as [Fd, Fd]
    const [alsoA, alsoB] = [
      own(FdSocket.from(first, options.framed === false ? { framed: false } : {})),
      own(second),
    ]
    b.close()
    alsoB.close()
    // That was the last of its end: there is nobody to send to.
    expect(
      codeOf(() => {
        alsoA.sendSync('x')
      }),
    ).toBe(options.type === 'dgram' ? 'ECONNREFUSED' : 'EPIPE')
  })

  test.each(links)(
    'B1.13: and are closed unread are freed by the kernel, with all they carry, of %s',
    async (_, options) => {
      const witnesses: { gone: boolean }[] = []
      for (let round = 0; round < 100; round++) {
        const witness = newWitness()
        const [a, b] = FdSocket.pair(options)
        a.sendSync('x', [a, b, witness.fd])
        b.sendSync('x', [a, b, witness.fd])
        a.close()
        b.close()
        witnesses.push(witness)
      }
      await expect.poll(() => collected(...witnesses)).toBe(true)
    },
  )

  test('B1.13: in a circle of two connections are freed too', async () => {
    const witness = newWitness()
    const [a, b] = FdSocket.pair()
    const [c, d] = FdSocket.pair()
    a.sendSync('x', [d, witness.fd])
    c.sendSync('x', [b, witness.fd])
    for (const socket of [a, b, c, d]) socket.close()
    await expect.poll(() => collected(witness)).toBe(true)
  })
})

describe('sockets with descriptors on their way inside of sockets on their way', () => {
  test('B1.14: go through to twelve levels, and come out again', () => {
    const witness = newWitness()
    let inner: Fd = witness.fd
    for (let level = 0; level < 12; level++) {
      const [a, b] = FdSocket.pair({ type: 'seqpacket' })
      own(a).sendSync(String(level), [inner])
      inner.close()
      inner = own(Fd.from(b.take()))
    }
    for (let level = 11; level >= 0; level--) {
      const socket = own(FdSocket.from(inner))
      const message = received(socket)
      expect(message.data.toString()).toBe(String(level))
      inner = claimed(message)
    }
    expect(inner.kind).toBe('unix-seqpacket')
    inner.close()
    expect(witness.gone).toBe(true)
  })
})
