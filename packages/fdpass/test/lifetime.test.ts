import { once } from 'node:events'
import { isMainThread, Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import type { FdSocket } from '../src/index.ts'
import { openCount } from './fixtures/descriptors.ts'
import { openFile } from './fixtures/files.ts'
import { until } from './fixtures/outcomes.ts'
import { newPair } from './fixtures/sockets.ts'
import { script } from './fixtures/script.ts'

const mortal = new URL('./fixtures/mortal.js', import.meta.url)

/** A thread with one end of a pair; what it has said so far. */
const start = async (role: string): Promise<{ worker: Worker; far: FdSocket; said: unknown[] }> => {
  const [near, far] = newPair()
  const worker = new Worker(mortal, { workerData: { role, socket: near.take() } })
  const said: unknown[] = []
  worker.on('message', (message) => said.push(message))
  await once(worker, 'message')
  return { worker, far, said }
}

describe('a worker that is terminated', () => {
  test.each(['blocked', 'busy', 'waiting', 'keeping', 'sending', 'stuck'])(
    'while it is %s ends, and takes every descriptor with it',
    async (role) => {
      const { worker: first, far: other } = await start(role)
      await first.terminate()
      other.close()
      const before = openCount()
      for (let round = 0; round < 5; round++) {
        const { worker, far, said } = await start(role)
        if (role === 'keeping') {
          const file = openFile()
          for (let n = 0; n < 10; n++) await far.send('x', [file, file, file])
          await until(() => said.length > 10)
          for (let n = 0; n < 10; n++) await far.send('unread', [file])
        }
        const begun = performance.now()
        expect(await worker.terminate()).toBe(1)
        expect(performance.now() - begun).toBeLessThan(5000)
        if (role !== 'sending' && role !== 'stuck')
          await expect(far.send('x').then(() => far.send('x'))).rejects.toThrow()
        far.close()
      }
      // Files of this test are closed after it.
      await until(() => openCount() <= before + (role === 'keeping' ? 5 : 0))
    },
  )

  test('leaves the messages that it has not received to nobody: the sender is told', async () => {
    const { worker, far } = await start('blocked')
    const answer = far.recv()
    await worker.terminate()
    await expect(Promise.race([answer, answer])).resolves.toBeNull()
  })
})

describe('a process', () => {
  test('lives while a call waits, and ends when none does', async () => {
    expect(
      await script(`const [a, b] = FdSocket.pair()
        b.recv().then((message) => console.log(message.data.toString()))
        setTimeout(() => a.send('late'), 20).unref()
        setTimeout(() => {}, 40)`),
    ).toMatchObject({ code: 0, output: 'late' })
    expect(
      await script(`const [a, b] = FdSocket.pair()
        for (let n = 0; n < 64; n++) { await a.send('all that is given in a turn'); (await b.recv()).close() }
        b.recv().then((message) => console.log(message.data.toString()))
        setTimeout(() => a.send('late'), 20).unref()`),
    ).toMatchObject({ code: 0, output: 'late' })
    expect(await script(`const [a] = FdSocket.pair(); a.recv(); a.unref()`)).toMatchObject({ code: 0 })
    const begun = performance.now()
    await script(`const [a, b] = FdSocket.pair()
      for (let n = 0; n < 200; n++) { await a.send('more than is given in a turn'); (await b.recv()).close() }`)
    // Nothing waits any more. A garbage collection would end it too, and comes after eight seconds.
    expect(performance.now() - begun).toBeLessThan(6000)
    expect(await script(`const l = listen('\\0unref-' + process.pid); l.accept(); l.unref()`)).toMatchObject({
      code: 0,
    })
    expect(
      await script(
        `const [a] = FdSocket.pair(); a.unref(); a.recv(); a.ref(); setTimeout(() => process.exit(7), 20).unref()`,
      ),
    ).toMatchObject({ code: 7 })
  })

  test('is told what was forgotten, and the descriptors are closed', async () => {
    const { output } = await script(
      `import { subscribe } from 'node:diagnostics_channel'
      const told = []
      subscribe('x.fdpass.discarded', (event) => told.push(event))
      const [a, b] = FdSocket.pair()
      const file = Fd.open('/dev/null', fs.constants.O_RDONLY)
      const before = countOpen()
      for (let n = 0; n < 200; n++) { a.sendSync('x', [file, file]); const message = b.recvSync(); if (n % 2) message.fds }
      await until(() => { gc(); new Array(1e4).fill(0); return countOpen() <= before + 130 })
      console.log(new Set(told.map((event) => event.reason)), told.every((event) => event.count > 0))`,
      { flags: ['--expose-gc'] },
    )
    expect(output).toBe("Set(1) { 'unclosed' } true")
  })

  test('an exception in a handler of a message is its own', async () => {
    const { code, output } =
      await script(`process.on('uncaughtException', (error) => console.log('caught', error.message))
      const [a, b] = FdSocket.pair()
      b.recv().then(() => { process.nextTick(() => { throw new Error('mine') }) })
      await a.send('x')
      const next = b.recv(); await a.send('y'); console.log((await next).data.toString())`)
    expect([code, output.split('\n').toSorted()]).toEqual([0, ['caught mine', 'y']])
  })
})

test.runIf(isMainThread)('fork: a child has none of our descriptors (main thread only)', async () => {
  const { output } = await script(`import { execFileSync } from 'node:child_process'
    const [a, b] = FdSocket.pair(); const l = listen('\\0fork-' + process.pid)
    a.sendSync('x', [Fd.open('/dev/null', 0)]); const message = b.recvSync()
    const links = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
    console.log(/socket:|null/.test(links.split('\\n').filter((line) => !/ [012] ->/.test(line)).join()))`)
  expect(output).toBe('false')
})

test('each descriptor is closed once, also when it becomes an Fd while others are looked at', async () => {
  const { output } = await script(
    `const [a, b] = FdSocket.pair()
    const file = Fd.open('/dev/null', 0)
    for (let n = 0; n < 500; n++) {
      await a.send('x', Array(n % 40).fill(file))
      const message = await b.recv()
      message.fds
      message.close()
    }
    const victims = Array.from({ length: 200 }, () => fs.openSync('/dev/null'))
    for (let n = 0; n < 20; n++) { gc(); await new Promise(setImmediate) }
    for (const victim of victims) fs.closeSync(victim)
    console.log('all there')`,
    { flags: ['--expose-gc'] },
  )
  expect(output).toBe('all there')
})

test('a forgotten descriptor is found also where there are few', async () => {
  const { output } = await script(
    `const before = countOpen()
    for (let n = 0; n < 20; n++) Fd.open('/dev/null', 0)
    await until(() => { gc(); return countOpen() <= before })
    console.log('closed')`,
    { flags: ['--expose-gc'] },
  )
  expect(output).toBe('closed')
})

test('a wait that cannot begin leaves nothing behind: no message is lost, and none is sent twice', async () => {
  const { output } = await script(
    `const [a, b] = FdSocket.pair({ type: 'seqpacket' })
    const [c, d] = FdSocket.pair({ type: 'seqpacket' })
    const fill = []
    const code = (promise) => promise.then(() => 'no error', (error) => error.code)
    try { for (;;) fill.push(Fd.open('/dev/null', 0)) } catch {}
    console.log(await code(b.recv()))
    let sent = 0
    while ((await code(c.send('x'.repeat(1000)))) === 'no error') sent++
    for (const fd of fill) fd.close()
    await a.send('first')
    console.log((await b.recv()).data.toString())
    for (; sent > 0; sent--) await d.recv()
    console.log(await code(d.recv({ timeout: 0 })))`,
    { descriptors: 100 },
  )
  expect(output.split('\n')).toEqual(['EMFILE', 'first', 'ETIMEDOUT'])
})

test('a peer that never stops leaves the event loop to others', async () => {
  const { output } = await script(
    `const [a, b] = FdSocket.pair({ type: 'seqpacket' })
    const worker = new Worker(\`import { workerData } from 'node:worker_threads'
      import('@x/fdpass').then(({ FdSocket }) => { const socket = FdSocket.from(workerData); for (;;) socket.sendSync('flood') })\`, { eval: true, workerData: a.take() })
    await b.recv()
    let ticks = 0
    const timer = setInterval(() => { if (++ticks === 20) { console.log('ticked'); process.exit() } }, 5)
    for await (const message of b) message.close()`,
  )
  expect(output).toBe('ticked')
})
