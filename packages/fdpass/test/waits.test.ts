import { performance } from 'node:perf_hooks'
import { describe, expect, test } from 'vitest'
import { FdSocket, listen } from '../src/index.ts'
import { newFile, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, codeOf, links, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { program } from './fixtures/program.ts'

/** Sends until there is no room; how many went. */
const fill = (socket: FdSocket, bytes = 1000): number => {
  const block = Buffer.alloc(bytes)
  for (let count = 0; ; count++) {
    try {
      socket.sendSync(block, undefined, { timeout: 0 })
    } catch (error) {
      expect(error).toMatchObject({ code: 'ETIMEDOUT' })
      return count
    }
  }
}

/** Receives all that is there, which has no descriptors; how many bytes. */
const drain = (socket: FdSocket): number => {
  for (let bytes = 0; ;) {
    try {
      const message = received(socket)
      expect(message.fdCount).toBe(0)
      bytes += message.data.length
    } catch (error) {
      expect(error).toMatchObject({ code: 'ETIMEDOUT' })
      return bytes
    }
  }
}

/** The milliseconds that a call takes which fails with this code. */
const timeOf = async (code: string, call: () => unknown): Promise<number> => {
  const begun = performance.now()
  try {
    await call()
    expect.unreachable('it did not fail')
  } catch (error) {
    expect(error).toMatchObject({ code })
  }
  return performance.now() - begun
}

describe.each(links)('a receiver of %s', (_, options) => {
  test('38, 85: gives up at its deadline with ETIMEDOUT, and not before', async () => {
    const [, b] = newPair(options)
    for (const call of [() => b.recv({ timeout: 30 }), () => b.recvSync({ timeout: 30 })]) {
      expect(await timeOf('ETIMEDOUT', call)).toBeGreaterThanOrEqual(29)
    }
  })

  test('30, 38: with a timeout of 0 takes what is there, and does not wait', async () => {
    const [a, b] = newPair(options)
    expect((await rejection(b.recv({ timeout: 0 }))).code).toBe('ETIMEDOUT')
    expect(codeOf(() => b.recvSync({ timeout: 0 }))).toBe('ETIMEDOUT')
    a.sendSync('x', [newFile('there')])
    const message = own((await b.recv({ timeout: 0 }))!)
    expect(textsOf(message)).toEqual(['there'])
  })

  test('38: that gave up has taken nothing: the next call gets the message', async () => {
    const [a, b] = newPair(options)
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = b.recv({ signal: controller.signal })
    const late = rejection(b.recv({ timeout: 1 }))
    controller.abort(reason)
    await expect(aborted).rejects.toBe(reason)
    expect((await late).code).toBe('ETIMEDOUT')
    a.sendSync('x', [newFile('kept')])
    expect(textsOf(await next(b))).toEqual(['kept'])
    await expect(b.recv({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  test('85: blocked in recvSync gets what another thread of execution sends', async () => {
    const [a, b] = newPair(options)
    const child = program(
      `const [socket] = [FdSocket.from(3, ${JSON.stringify({ ...options, type: undefined })})]
      const message = socket.recvSync({ timeout: 10_000 })
      print([message.data.toString(), message.fdCount])`,
      { sockets: [b] },
    )
    a.sendSync('x', [newFile()])
    expect(await child).toEqual(['x', 1])
  })

  test('37, 38: that waits when its socket is closed fails with EBADF', async () => {
    const [, b] = newPair(options)
    const waits = [rejection(b.recv()), rejection(b.recv({ timeout: 10_000 }))]
    expect(codeOf(() => b.recvSync())).toBe('EBUSY')
    b.close()
    expect((await Promise.all(waits)).map(({ code }) => code)).toEqual(['EBADF', 'EBADF'])
  })
})

describe.each(links)('a sender of %s', (_, options) => {
  const small = { ...options, sendBuffer: 1 }

  test('29, 30, 86: without room gives up at its deadline with ETIMEDOUT, and nothing of it has gone', async () => {
    const [a, b] = newPair(small)
    const count = fill(a)
    const file = newFile('late')
    // A byte is too much as well: the kernel counts what it has allocated.
    for (const call of [
      () => a.send('late', [file], { timeout: 30 }),
      () => {
        a.sendSync('late', [file], { timeout: 30 })
      },
    ]) {
      expect(await timeOf('ETIMEDOUT', call)).toBeGreaterThanOrEqual(29)
    }
    expect((await rejection(a.send('late', [file], { timeout: 0 }))).code).toBe('ETIMEDOUT')
    const reason = new Error('enough')
    const controller = new AbortController()
    const aborted = a.send('late', [file], { signal: controller.signal })
    controller.abort(reason)
    await expect(aborted).rejects.toBe(reason)
    expect(a.queuedBytes).toBe(0)
    expect(drain(b)).toBe(count * 1000)
    a.sendSync('next', [newFile('next')])
    expect(textsOf(received(b))).toEqual(['next'])
  })
})

describe('a message that was begun', () => {
  test('29, 86: and cannot end is the last one: the peer learns that its rest does not come', async () => {
    const [a, b] = newPair({ sendBuffer: 1 })
    expect((await rejection(a.send(Buffer.alloc(500_000), [newFile()], { timeout: 1 }))).code).toBe(
      'ETIMEDOUT',
    )
    expect((await rejection(a.send('more'))).message).toContain('given up half-way')
    expect((await rejection(b.recv())).code).toBe('EPROTO')
  })
})

describe('a listener', () => {
  test.each(['stream', 'seqpacket'] as const)(
    '87: that nobody connects to gives up at its deadline, of %s',
    async (type) => {
      const listener = own(listen(`${newFolder()}/socket`, { type }))
      for (const call of [
        () => listener.accept({ timeout: 30 }),
        () => listener.acceptSync({ timeout: 30 }),
      ]) {
        expect(await timeOf('ETIMEDOUT', call)).toBeGreaterThanOrEqual(29)
      }
      for (const call of [() => listener.accept({ timeout: 0 }), () => listener.acceptSync({ timeout: 0 })]) {
        await timeOf('ETIMEDOUT', call)
      }
      const waiting = listener.accept()
      const client = own(await FdSocket.connect(listener.name, { type }))
      own(await waiting).sendSync('welcome')
      expect(received(client).data.toString()).toBe('welcome')
      const closed = rejection(listener.accept())
      listener.close()
      expect((await closed).code).toBe('EBADF')
      expect(codeOf(() => listener.acceptSync())).toBe('EBADF')
    },
  )

  test('a queue that is full: connecting waits until there is room, or its deadline', async () => {
    const listener = own(listen(`${newFolder()}/socket`, { backlog: 0 }))
    const first = own(await FdSocket.connect(listener.name))
    await timeOf('ETIMEDOUT', () => FdSocket.connect(listener.name, { timeout: 5 }))
    await timeOf('ETIMEDOUT', () => FdSocket.connectSync(listener.name, { timeout: 5 }))
    const second = FdSocket.connect(listener.name)
    const server = await accepted(listener)
    own(await second).sendSync('second')
    first.sendSync('first')
    expect(received(server).data.toString()).toBe('first')
    expect(received(await accepted(listener)).data.toString()).toBe('second')
  })
})

describe('signals', () => {
  // A signal of Linux's own, with a handler: poll(2) and recvmsg(2) are interrupted by it.
  const disturbed = (call: string): string => `
    process.on('SIGUSR2', () => {})
    const { Worker } = await import('node:worker_threads')
    const worker = new Worker(
      \`const { workerData, parentPort } = require('node:worker_threads')
      parentPort.postMessage('ready')
      const cell = new Int32Array(workerData)
      while (Atomics.load(cell, 0) === 0) { process.kill(process.pid, 'SIGUSR2'); Atomics.wait(cell, 0, 0, 2) }\`,
      { eval: true, execArgv: [], workerData: new SharedArrayBuffer(4) },
    )
    await new Promise((resolve) => worker.once('message', resolve))
    const [a, b] = FdSocket.pair({ type: 'seqpacket', sendBuffer: 1 })
    const begun = performance.now()
    let code = 'none'
    try { ${call} } catch (error) { code = error.code }
    const time = performance.now() - begun
    await worker.terminate()
    print([code, time >= 99 && time < 5000])`

  test('47, 48, 49, 50, 51, 52: do not end a wait for a message, nor move its deadline', async () => {
    expect(await program(disturbed('b.recvSync({ timeout: 100 })'))).toEqual(['ETIMEDOUT', true])
  })

  test('47, 48, 49, 50, 51, 52: do not end a wait for room, nor move its deadline', async () => {
    const send = 'for (;;) a.sendSync(Buffer.alloc(1000), [0], { timeout: 100 })'
    expect(await program(disturbed(send))).toEqual(['ETIMEDOUT', true])
  })

  test('a wait for a connection goes on too', async () => {
    const call = `listen('\\0fdpass-' + process.pid).acceptSync({ timeout: 100 })`
    expect(await program(disturbed(call))).toEqual(['ETIMEDOUT', true])
  })
})
