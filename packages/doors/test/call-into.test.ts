import { describe, expect, test } from 'vitest'
import { openDoor, openDoorSync, type DoorClient } from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, own } from './fixtures/disposal.ts'
import { newDoor, newPoolDoor } from './fixtures/doors.ts'

/** Both ways in which bytes of a blocking call go. */
const ways = [
  ['over the socket', false],
  ['through shared memory', true],
] as const

const newClient = async (name: string, sharedMemory: boolean, options = {}): Promise<DoorClient> => {
  const { path } = await newPoolDoor(name, options)
  return own(openDoorSync(path, { sharedMemory }))
}

describe.each(ways)('callInto, %s', (_, sharedMemory) => {
  test.each([0, 1, 16, 4096, 65_536, 65_537, 2 ** 20, 2 ** 20 + 1, 2 ** 24])(
    '39, 43: %i bytes come back in the buffer that was given',
    async (size) => {
      const client = await newClient('echo', sharedMemory)
      const request = Buffer.alloc(size, 5)
      const out = Buffer.alloc(size + 10)
      for (let n = 0; n < 3; n++) {
        const reply = client.callInto(request, out)
        expect(reply.buffer).toBe(out.buffer)
        expect(reply.byteOffset).toBe(out.byteOffset)
        expect(request.equals(reply)).toBe(true)
      }
    },
  )

  test('43, 44: a reply that does not fit comes in memory of its own, whole', async () => {
    const client = await newClient('echo', sharedMemory)
    for (const size of [100, 70_000, 2 ** 21]) {
      const out = new Uint8Array(10)
      const reply = client.callInto(Buffer.alloc(size, 9), out)
      expect(reply.buffer).not.toBe(out.buffer)
      expect(Buffer.alloc(size, 9).equals(reply)).toBe(true)
    }
  })

  test('45: request and reply may be in the same memory', async () => {
    const client = await newClient('echo', sharedMemory)
    const memory = Buffer.from('in and out')
    expect(Buffer.from(client.callInto(memory, memory)).toString()).toBe('in and out')
    const large = Buffer.alloc(2 ** 20, 3)
    expect(client.callInto(large, large)).toHaveLength(2 ** 20)
  })

  test('46: ten thousand leave nothing behind', async () => {
    const client = await newClient('echo', sharedMemory)
    const [request, out] = [Buffer.from('x'), Buffer.alloc(8)]
    client.callInto(request, out)
    const before = countOpen()
    for (let n = 0; n < 10_000; n++) client.callInto(request, out)
    expect(countOpen()).toBe(before)
  })

  test('47: each answer is that of its own call, from many clients at once', async () => {
    const { path } = await newPoolDoor('echo')
    const child = (letter: string): Promise<string> =>
      newChild(
        `const door = openDoorSync(path, { sharedMemory: ${sharedMemory} })
         const out = Buffer.alloc(64)
         let wrong = 0
         for (let n = 0; n < 2000; n++) {
           const text = '${letter} ' + n
           if (Buffer.from(door.callInto(Buffer.from(text), out)).toString() !== text) wrong++
         }
         print('wrong: ' + wrong)`,
        path,
      ).next()
    expect(await Promise.all(['a', 'b', 'c', 'd'].map(child))).toEqual(
      Array.from({ length: 4 }, () => 'wrong: 0'),
    )
  })

  test('57: what the procedure throws is EREMOTEIO, and the next call is right', async () => {
    const client = await newClient('fail', sharedMemory)
    for (let n = 0; n < 3; n++) {
      expect(() => client.callInto(Buffer.from('x'), Buffer.alloc(8))).toThrow(/EREMOTEIO.*out of paper/)
    }
  })

  test('87: the thread that runs it ends: EINTR, and the next call is right', async () => {
    // This thread blocks, and makes no other thread meanwhile.
    const client = await newClient('exit', sharedMemory, { threads: { min: 3 } })
    for (let n = 0; n < 2; n++)
      expect(await codeOf(() => client.callInto(Buffer.from('x'), Buffer.alloc(8)))).toBe('EINTR')
  })

  test('83: a deadline ends it: EINTR, and the next call is right', async () => {
    const { path, client: other } = await newPoolDoor('untilCancelled', { threads: { min: 2, max: 2 } })
    await other.call()
    const client = own(openDoorSync(path, { sharedMemory }))
    expect(
      await codeOf(() => client.callInto(Buffer.from('/dev/null'), Buffer.alloc(8), { timeout: 30 })),
    ).toBe('EINTR')
    expect(Buffer.from(client.callInto(new Uint8Array(0), Buffer.alloc(8))).toString()).toBe('at once')
  })

  test('49: limits of the door are looked at before anything is sent: ENOBUFS', async () => {
    const client = await newClient('echo', sharedMemory, { dataMax: 4 })
    expect(await codeOf(() => client.callInto(Buffer.alloc(5), Buffer.alloc(8)))).toBe('ENOBUFS')
    expect(client.callInto(Buffer.alloc(4), Buffer.alloc(8))).toHaveLength(4)
  })

  test('86: a server that is killed meanwhile: EINTR; the next call EBADF', async () => {
    const { path } = newDoor(() => 'not this one')
    const name = `${path}-killed`
    const child = newChild(
      `const door = createDoor(() => { process.kill(process.pid, 'SIGKILL') })
       door.attach(path); print('ready')`,
      name,
    )
    await child.next()
    const client = own(openDoorSync(name, { sharedMemory }))
    expect(await codeOf(() => client.callInto(Buffer.from('x'), Buffer.alloc(8)))).toBe('EINTR')
    await child.exited
    expect(await codeOf(() => client.callInto(Buffer.from('x'), Buffer.alloc(8)))).toBe('EBADF')
  })
})

test('61: a door of this thread is EDEADLK', async () => {
  const { path } = newDoor((data) => data ?? undefined)
  const client = own(await openDoor(path))
  expect(await codeOf(() => client.callInto(Buffer.from('x'), Buffer.alloc(8)))).toBe('EDEADLK')
})

test.each([
  ['a request that is no bytes', ['x', Buffer.alloc(1)]],
  ['no place for the reply', [Buffer.alloc(1), undefined]],
  ['a timeout that is none', [Buffer.alloc(1), Buffer.alloc(1), { timeout: -1 }]],
  ['an unknown option', [Buffer.alloc(1), Buffer.alloc(1), { signal: 1 }]],
])('%s is EINVAL', async (_, values) => {
  const client = await newClient('echo', true)
  expect(await codeOf(() => client.callInto(...(values as Parameters<DoorClient['callInto']>)))).toBe(
    'EINVAL',
  )
})

test.each(ways)('a procedure that calls still has the data that it was lent, %s', async (_, sharedMemory) => {
  const behind = await newClient('echo', sharedMemory)
  const { path } = newDoor(
    (data) => {
      behind.callInto(Buffer.from('of another call'), Buffer.alloc(1))
      behind.callSync('of one more')
      return data ?? undefined
    },
    { reuseBuffer: true },
  )
  const client = own(await openDoor(path))
  expect((await client.call('of this call')).data.toString()).toBe('of this call')
})
