import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { FdSocket, memfd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { binding, Fate, Place, RECORD, Reply, Taken } from '../src/binding.ts'
import { SessionFlag } from '../src/wire.ts'
import { E } from '../src/errors.ts'
import { InfoPage } from '../src/info-page.ts'
import { countOpen, own, until } from './fixtures/disposal.ts'

const file = fileURLToPath(new URL('./fixtures/binding-worker.js', import.meta.url))
const limits = { dataMin: 0, dataMax: 10_000_000, descMax: 1000 }

const newWorker = (workerData: object): Worker => {
  const worker = new Worker(file, { workerData })
  own({
    [Symbol.asyncDispose]: async () => {
      await worker.terminate()
    },
  })
  return worker
}

const newDoor = (): number => {
  const page = InfoPage.make(1n, 0n, 0, limits)
  const door = binding.doorOpen(page.file.fd, Buffer.from('a module'))
  page.close()
  own({ [Symbol.dispose]: () => void binding.doorClose(door) })
  return door
}

/** A session of the door, and a client of it in this thread. */
const newSession = (door: number, flags: number): { session: number; client: number } => {
  const [near, far] = FdSocket.pair({ type: 'seqpacket' })
  const session = binding.sessionOpen(far.take(), door, flags)
  const client = binding.clientOpen(near.take(), flags === (SessionFlag.sequential | SessionFlag.area))
  own({ [Symbol.dispose]: () => void binding.clientClose(client) })
  own({ [Symbol.dispose]: () => void binding.sessionClose(session) })
  return { session, client }
}

describe.each([
  ['over a socket', SessionFlag.sequential],
  ['in an area', SessionFlag.sequential | SessionFlag.area],
])('a thread calls what another serves, %s', (_, flags) => {
  test('46: a thousand times, and gets each answer in its own memory', async () => {
    const { session, client } = newSession(newDoor(), flags)
    const server = newWorker({ role: 'server', session, thread: 2 })
    const out = new Uint8Array(100)
    for (let n = 0; n < 1000; n++) {
      const data = Buffer.from(`call ${n}`)
      expect(binding.clientCall(client, n, data, null, out, 10_000)).toBe(0)
      expect(binding.numbers[Reply.place]).toBe(Place.out)
      expect(Buffer.from(out.subarray(0, binding.numbers[Reply.lengthLow])).equals(data)).toBe(true)
    }
    binding.clientClose(client)
    expect(await once(server, 'message')).toEqual(['over'])
  })

  test('39: bytes of any number, and descriptors', () => {
    const { session, client } = newSession(newDoor(), flags)
    newWorker({ role: 'server', session, thread: 2 })
    const fds = Int32Array.from([own(memfd('x')).fd, own(memfd('y')).fd])
    for (const size of [0, 1, 2048, 65536, 200_000, 1_048_576, 3_000_000, 5]) {
      const passed = size % 2 === 0 ? fds : null
      const data = Buffer.alloc(size, 'abcde')
      expect(binding.clientCall(client, 1, data, passed, null, 10_000)).toBe(0)
      const { numbers, replyBytes } = binding
      const came = numbers.slice(RECORD, RECORD + (numbers[Reply.descriptors] ?? 0))
      expect(came.length).toBe(passed?.length ?? 0)
      const got =
        numbers[Reply.place] === Place.bytes
          ? replyBytes.subarray(0, numbers[Reply.lengthLow])
          : binding.takenData()
      expect(data.equals(got ?? Buffer.alloc(0))).toBe(true)
      came.forEach((fd) => {
        closeSync(fd)
      })
    }
  })
})

test('82: nobody is left to answer: the call ends, and who wants to hear of it does', () => {
  const door = newDoor()
  const { session, client } = newSession(door, 0)
  expect(binding.clientCall(client, 7, null, null, null, 0)).toBe(E.ETIMEDOUT)
  expect(binding.numbers[Reply.sent]).toBe(1)
  expect(binding.sessionTake(session, 5, 0)).toBe(Taken.call)
  expect(binding.sessionThread(session, 7)).toBe(5)
  expect(binding.doorWant(door, true)).toBe(1)
  expect(binding.sessionAborted(session, 7)).toBe(false)
  binding.clientClose(client)
  expect(binding.sessionAborted(session, 7)).toBe(true)
  expect(binding.sessionReply(session, 7, 0, null, null)).toBe(Fate.gone | Fate.rest)
  expect(binding.sessionReply(session, 7, 0, null, null)).toBe(Fate.gone)
  expect(binding.doorRunning(door)).toBe(0)
})

test('87: a call of a thread that has gone is answered EINTR', () => {
  const { session, client } = newSession(newDoor(), 0)
  binding.clientCall(client, 7, null, null, null, 0)
  expect(binding.sessionTake(session, 5, 0)).toBe(Taken.call)
  expect([...binding.threadGone(4)]).toEqual([])
  expect([...binding.threadGone(5)]).toEqual([session])
  expect(binding.sessionThread(session, 7)).toBe(0)
})

test('a thread that blocks in a call can be terminated', async () => {
  const [near, far] = FdSocket.pair({ type: 'seqpacket' })
  own(far)
  const worker = new Worker(file, { workerData: { role: 'caller', socket: near.take() } })
  expect(await once(worker, 'message')).toEqual(['calls'])
  await far.recv()
  await worker.terminate()
  expect(await far.recv({ timeout: 5000 })).toBeNull()
})

test('86: doors of a thread that ends are closed, with their sessions', async () => {
  const before = countOpen()
  const [near, far] = FdSocket.pair({ type: 'seqpacket' })
  const worker = newWorker({ role: 'owner', socket: far.take(), flags: 0 })
  const [{ door, session }] = (await once(worker, 'message')) as [{ door: number; session: number }]
  expect([...binding.sessionsOf(door)]).toEqual([session])
  expect(Buffer.from(binding.doorSource(door) as ArrayBuffer).toString()).toBe('a module')
  await worker.terminate()
  expect(await near.recv({ timeout: 5000 })).toBeNull()
  expect(binding.doorSource(door)).toBe(E.EBADF)
  expect(binding.sessionTake(session, 1, 0)).toBe(Taken.over)
  near.close()
  await until(() => countOpen() <= before)
})

test('122: no argument ends the process', () => {
  const { session, client } = newSession(newDoor(), 0)
  const loop = binding.loopOpen(FdSocket.pair({ type: 'seqpacket' })[0].take(), false)
  // Numbers of descriptors are taken over: -1 stands for all of them.
  const any = fc.oneof(
    fc.constantFrom(undefined, null, -1, NaN, Infinity, 1e20, 0.5, true, 'text', Symbol('s'), 1n),
    fc.constantFrom({}, [], new Uint8Array(3), new Int32Array([-1]), new Float64Array(1), () => 0),
    fc.constantFrom(session, client, loop),
  )
  const functions = Object.entries(binding).filter(
    ([name, value]) => typeof value === 'function' && /^(?:door|session|client|loop|thread|taken)/.test(name),
  ) as [string, (...values: unknown[]) => unknown][]
  expect(functions.length).toBe(34)
  fc.assert(
    fc.property(fc.constantFrom(...functions), fc.array(any, { maxLength: 7 }), ([name, call], values) => {
      const owns = /^(?:sessionOpen|clientOpen|loopOpen|doorOpen)$/.test(name)
      const rest = owns ? values.slice(1) : values
      // For ever is too long here.
      if (name === 'clientCall') rest[5] = typeof rest[5] === 'number' ? 0 : rest[5]
      call(...(owns ? [-1] : []), ...rest)
    }),
    { numRuns: 3000 },
  )
})
