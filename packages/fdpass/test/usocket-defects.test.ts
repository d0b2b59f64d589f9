import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FdSocket, listen } from '../src/index.ts'
import type { Fd } from '../src/index.ts'
import { manyFiles, newFile, newFiles, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, codeOf, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { outputOf, program, run } from './fixtures/program.ts'
import { newWitness } from './fixtures/witness.ts'

// What the one package that passes descriptors does wrong, and what there is instead.

describe('of usocket’s defects there is none here', () => {
  test.each([{ framed: true }, { framed: false }])(
    'more than 64 descriptors of a message: all arrive, %o',
    (options) => {
      const [a, b] = newPair(options)
      a.sendSync('x', manyFiles(100))
      expect(textsOf(received(b))).toEqual(Array.from({ length: 100 }, (_, index) => String(index)))
    },
  )

  test('descriptors without bytes are not taken and lost: they arrive in a frame, and are refused without', () => {
    const [a, b] = newPair()
    a.sendSync('', [newFile('alone')])
    expect(textsOf(received(b))).toEqual(['alone'])
    const [c] = newPair({ framed: false })
    expect(
      codeOf(() => {
        c.sendSync('', [newFile()])
      }),
    ).toBe('EINVAL')
  })

  test.each([{ framed: true }, { framed: false }])(
    'a message that finds no room keeps its descriptors, %o',
    async (options) => {
      const [a, b] = newPair({ ...options, sendBuffer: 1 })
      const waits: Promise<void>[] = []
      while (a.queuedBytes === 0) waits.push(a.send(Buffer.alloc(1000)))
      const sent = a.send('with two', newFiles('1', '2'))
      for (;;) {
        const message = await next(b)
        if (message.fdCount === 0) continue
        expect(textsOf(message)).toEqual(['1', '2'])
        break
      }
      await Promise.all([...waits, sent])
    },
  )

  test('descriptors of one message do not come with another', async () => {
    const [a, b] = newPair()
    const [one] = newFiles('b')
    await a.send('A')
    await a.send('B', [one!])
    const messages = [await next(b), await next(b)]
    expect(messages.map((message) => [message.data.toString(), textsOf(message)])).toEqual([
      ['A', []],
      ['B', ['b']],
    ])
  })

  test.each([{ framed: true }, { framed: false }])(
    'descriptors that nobody read are closed with the socket, %o',
    (options) => {
      const [a, b] = newPair(options)
      const witness = newWitness()
      a.sendSync('read', [newFile()])
      for (let i = 0; i < 5; i++) a.sendSync('unread', [witness.fd])
      received(b)
      b.close()
      expect(witness.gone).toBe(true)
    },
  )

  test('listening on the path of a regular file leaves the file', () => {
    const path = join(newFolder(), 'file')
    writeFileSync(path, 'precious')
    expect(codeOf(() => listen(path))).toBe('EADDRINUSE')
    expect(readFileSync(path, 'utf8')).toBe('precious')
  })

  test('a connection that cannot be made is an error, and the process goes on', async () => {
    expect((await rejection(FdSocket.connect(join(newFolder(), 'absent')))).code).toBe('ENOENT')
    const outcome = await program(
      `const code = await codeOf(() => FdSocket.connect('/nonexistent/socket'))
      print([code, await codeOf(async () => { for await (const message of await FdSocket.connect('/nonexistent/socket')) message.close() })])`,
    )
    expect(outcome).toEqual(['ENOENT', 'ENOENT'])
  })

  test('it is loaded in several threads, which pass descriptors to each other', async () => {
    const [near, far] = newPair()
    const worker = new Worker(new URL('fixtures/echo-worker.js', import.meta.url), { workerData: far.take() })
    const said = once(worker, 'message')
    for (let i = 0; i < 20; i++) {
      await near.send('echo', newFiles(String(i)))
      const message = await next(near)
      expect([message.data.toString(), textsOf(message)]).toEqual(['echo', [String(i)]])
    }
    await near.end()
    expect(await said).toEqual(['ended'])
    expect(await near.recv()).toBe(null)
    await worker.terminate()
  })

  test('there is a socket of packets, an abstract name, and who the peer is', async () => {
    const name = `\0fdpass-defects-${process.pid}`
    const listener = own(listen(name, { type: 'seqpacket' }))
    const client = own(await FdSocket.connect(name, { type: 'seqpacket' }))
    expect((await accepted(listener)).peer.pid).toBe(process.pid)
    expect(client.peerName).toBe(name)
  })

  test('a socket that is forgotten and collected ends its wait for nobody, and crashes nothing', async () => {
    const outcome = await outputOf(
      run([
        process.execPath,
        '--expose-gc',
        '--input-type=module',
        '-e',
        `import { FdSocket } from '@x/fdpass'
        import { subscribe } from 'node:diagnostics_channel'
        let unclosed = 0
        subscribe('x.fdpass.discarded', ({ count, reason }) => { if (reason === 'unclosed') unclosed += count })
        await (async () => {
          for (let i = 0; i < 200; i++) {
            const [a, b] = FdSocket.pair()
            const wait = b.recv()
            a.sendSync('x', [0])
            await wait
          }
        })()
        for (let i = 0; i < 200 && unclosed < 300; i++) {
          gc()
          await new Promise((resolve) => setImmediate(resolve))
        }
        console.log(unclosed >= 300)`,
      ]),
    )
    expect(outcome).toBe('true')
  })

  test('103, 104, 105, 107, 108, 109, 110, 111, 112, 113: a server, a connection, bytes both ways, a lot of them, descriptors, and an orderly end', async () => {
    const listener = own(listen(join(newFolder(), 'socket')))
    const client = own(await FdSocket.connect(listener.name))
    const server = await accepted(listener)
    expect(textsOf(await answer(client, server, 'Hello There', newFiles('1')))).toEqual(['1'])
    expect(textsOf(await answer(server, client, 'Hello There', []))).toEqual([])
    const lot = Buffer.alloc(900_000, 'lot')
    const many = manyFiles(200)
    const message = await answer(client, server, lot, many)
    expect([message.data.equals(lot), message.fdCount]).toEqual([true, 200])
    await client.end()
    expect(await server.recv()).toBe(null)
    await server.send('the last')
    await server.end()
    expect((await next(client)).data.toString()).toBe('the last')
    expect(await client.recv()).toBe(null)
  })

  const answer = async (
    from: FdSocket,
    to: FdSocket,
    data: string | Buffer,
    fds: Fd[],
  ): ReturnType<typeof next> => {
    const [message] = await Promise.all([next(to), from.send(data, fds)])
    return message
  }
})
