import { describe, expect, test } from 'vitest'
import { manyFiles, newFile, newFiles, textsOf } from './fixtures/files.ts'
import { links, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { program, unprivileged, withLimit } from './fixtures/program.ts'
import { newWitness } from './fixtures/witness.ts'

describe.each(links)('messages that wait for room, of %s', (_, options) => {
  const small = { ...options, sendBuffer: 1 }

  test('keep their descriptors with their bytes, and none is lost', async () => {
    const [a, b] = newPair(small)
    const files = manyFiles(100)
    const sent = files.map((file, index) => a.send(String(index).padEnd(500, '.'), [file, file]))
    expect(a.queuedBytes).toBeGreaterThan(0)
    const seen: string[] = []
    while (seen.length < 200) {
      const message = await next(b)
      seen.push(...textsOf(message))
      if (options.framed !== false) {
        expect(Number.parseInt(message.data.toString(), 10)).toBe(seen.length / 2 - 1)
        expect(message.fdCount).toBe(2)
      }
      message.close()
    }
    await Promise.all(sent)
    expect(seen).toEqual(files.flatMap((_, index) => [String(index), String(index)]))
    expect([a.queuedBytes, a.unreceived]).toEqual([0, 0])
  })

  test('63: bring the right files, though their numbers are other files’ by then', async () => {
    const [a, b] = newPair(small)
    const files = manyFiles(40)
    const sent = files.map((file, index) => a.send('x'.repeat(500), [file.fd]).then(() => index))
    for (const file of files) file.close()
    // The same numbers, most of them.
    const others = newFiles(...files.map(() => 'another'))
    const seen: string[] = []
    while (seen.length < 40) {
      const message = await next(b)
      seen.push(...textsOf(message))
      message.close()
    }
    expect(seen).toEqual(files.map((_, index) => String(index)))
    expect(await Promise.all(sent)).toEqual([...files.keys()])
    expect(others).toHaveLength(40)
  })

  test('let go of what they keep when they give up, or their socket is closed', async () => {
    const [a] = newPair(small)
    const [late, closed] = [newWitness(), newWitness()]
    const full: Promise<void>[] = []
    while (a.queuedBytes === 0) full.push(a.send('x'.repeat(500)))
    const gaveUp = rejection(a.send('x', [late.fd], { timeout: 1 }))
    const waits = rejection(a.send('x', [closed.fd]))
    const last = rejection(full.at(-1) as Promise<void>)
    expect((await gaveUp).code).toBe('ETIMEDOUT')
    expect(late.gone).toBe(true)
    expect(closed.gone).toBe(false)
    a.close()
    expect([(await waits).code, (await last).code]).toEqual(['EBADF', 'EBADF'])
    expect(closed.gone).toBe(true)
    expect(newFile().fd).toBeGreaterThan(0)
  })

  test('that are moved keep the sender’s open until they have gone', async () => {
    const [a, b] = newPair(small)
    while (a.queuedBytes === 0) void a.send('x'.repeat(500))
    const file = newFile('moved')
    const moved = a.send('y', [file], { move: true })
    expect(file.fd).not.toBe(-1)
    for (;;) {
      const message = await next(b)
      if (message.fdCount === 0) continue
      expect(textsOf(message)).toEqual(['moved'])
      break
    }
    await moved
    expect(file.fd).toBe(-1)
  })
})

describe('too many descriptors in flight', () => {
  const user = { through: [...withLimit(64), ...unprivileged()] }

  test.each(links)(
    'B1.15: a sender waits, and all arrive in order when the receiver reads, of %s',
    async (_, options) => {
      const outcome = await program(
        `const [a, b] = FdSocket.pair(${JSON.stringify(options)})
      const files = [0, 1, 2].map(() => fs.openSync('/proc/self/stat'))
      const expected = [], seen = []
      const sent = []
      for (let i = 0; i < 60; i++) {
        const fds = [files[i % 3], files[(i + 1) % 3]]
        expected.push(...fds.map((fd) => fs.fstatSync(fd).ino))
        sent.push(a.send('message', fds.map((fd) => Fd.from(fs.openSync('/proc/self/fd/' + fd))), { move: true }).catch((error) => error.code))
        if (i % 8 === 7) await Promise.race([sent.at(-1), new Promise((resolve) => setImmediate(resolve))])
        if (a.queuedBytes > 0) break
      }
      const waited = a.queuedBytes > 0
      while (seen.length < expected.length) {
        const message = await b.recv()
        seen.push(...message.fds.map((fd) => fd.stat().ino))
        message.close()
      }
      const results = await Promise.all(sent)
      print([waited, JSON.stringify(seen) === JSON.stringify(expected), results.every((result) => result === undefined)])`,
        user,
      )
      expect(outcome).toEqual([true, true, true])
    },
  )

  test('B1.15: sendSync that waits gives up at its deadline with ETIMEDOUT, and nothing of its message goes', async () => {
    const outcome = await program(
      `const [a, b] = FdSocket.pair({ type: 'seqpacket' })
      let sent = 0, code
      for (; code === undefined; sent++) try { a.sendSync('x', [0, 1], { timeout: 20 }) } catch (error) { code = error.code; sent-- }
      const late = await codeOf(() => a.send('x', [0, 1], { timeout: 20 }))
      let got = 0
      try { for (;; got++) { const message = b.recvSync({ timeout: 0 }); assert.equal(message.fdCount, 2); message.close() } } catch {}
      a.sendSync('next', [0])
      print([code, late, sent === got && sent > 10, b.recvSync().fdCount])`,
      user,
    )
    expect(outcome).toEqual(['ETIMEDOUT', 'ETIMEDOUT', true, 1])
  })
})

test('what is on its way when the receiver is closed is closed by the kernel', () => {
  for (const [, options] of links) {
    const [a, b] = newPair(options)
    const [witness, other] = [newWitness(), newWitness()]
    a.sendSync('x', [witness.fd])
    b.close()
    expect(witness.gone).toBe(true)
    const [c, d] = newPair(options)
    c.sendSync('x', [other.fd])
    c.close()
    // The sender has gone, and the message comes all the same.
    expect(other.gone).toBe(false)
    const message = received(d)
    expect(message.fdCount).toBe(1)
    message.close()
    expect(other.gone).toBe(true)
  }
})
