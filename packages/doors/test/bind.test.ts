import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'
import {
  bind,
  currentDoor,
  createDoor,
  DOOR_NO_DEPLETION_CB,
  DOOR_PRIVATE,
  setServerCreation,
  xcreateDoor,
  type PoolHandle,
  type ServerCreation,
} from '../src/index.ts'
import { codeOf, countOpen, own, until } from './fixtures/disposal.ts'
import { newPoolDoor, procedure } from './fixtures/doors.ts'
import { Fifo } from './fixtures/fifo.ts'

const url = new URL('fixtures/bound.js', import.meta.url)

/** A callback that makes threads of our own, and what it was asked. */
const newCreation = (): { create: ServerCreation; workers: Worker[]; depletions: boolean[] } => {
  const workers: Worker[] = []
  const depletions: boolean[] = []
  const create: ServerCreation = ({ handle, depletion }) => {
    const worker = new Worker(url, { workerData: handle })
    workers.push(worker)
    depletions.push(depletion)
    return worker
  }
  return { create, workers, depletions }
}

afterEach(() => {
  setServerCreation(null)
})

describe('the server creation callback', () => {
  test('makes the threads of pools; the previous one is returned', async () => {
    const { create, workers } = newCreation()
    const first = setServerCreation(create)
    expect(setServerCreation(create)).toBe(create)
    const { client } = await newPoolDoor('default', { private: true })
    expect((await client.call()).data.toString()).toBe(String(workers[0]?.threadId))
    setServerCreation(first)
  })

  test('is called again when all threads run procedures', async () => {
    const { create, workers, depletions } = newCreation()
    const { client } = await newPoolDoor('block', { threads: { max: 2, create } })
    const [one, two] = [new Fifo(), new Fifo()]
    const calls = [client.call(one.path), client.call(two.path)]
    await Promise.all([one.reader(), two.reader()])
    expect(depletions).toEqual([false, true])
    await Promise.all([one.release(), two.release()])
    await Promise.all(calls)
    expect(workers).toHaveLength(2)
  })

  test('may decline: callers wait for a thread', async () => {
    let declines = true
    const { create } = newCreation()
    const { client, door } = await newPoolDoor('default', {
      threads: { create: (request) => (declines ? null : create(request)) },
    })
    const call = client.call()
    declines = false
    await door.addThread()
    expect(Number((await call).data)).toBeGreaterThan(0)
  })

  test('that fails after a thread that ends at once costs nothing but the door’s threads', async () => {
    const ended: Promise<unknown>[] = []
    const create: ServerCreation = () => {
      if (ended.length > 0) throw new Error('no memory')
      const worker = new Worker('process.exit(0)', { eval: true })
      ended.push(once(worker, 'exit'))
      return worker
    }
    own(createDoor(procedure('default'), { threads: { min: 2, create } }))
    expect(ended.length).toBe(1)
    await ended[0]
  })

  test('that returns neither a Worker nor null is EINVAL, and is not asked again and again', async () => {
    let asked = 0
    const create = (() => ++asked) as unknown as ServerCreation
    const door = own(createDoor(procedure('default'), { threads: { min: 1, create } }))
    expect(asked).toBe(1)
    expect(await codeOf(() => door.addThread())).toBe('EINVAL')
  })

  test('that is no function is EINVAL', async () => {
    expect(await codeOf(() => setServerCreation(1 as never))).toBe('EINVAL')
    expect(await codeOf(() => createDoor(procedure('echo'), { threads: { create: 1 as never } }))).toBe(
      'EINVAL',
    )
  })
})

describe('bind', () => {
  test('a thread that unbinds serves no more, and another one does', async () => {
    const { create, workers } = newCreation()
    const { client } = await newPoolDoor('default', { threads: { min: 2, max: 2, create } })
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    const [first, second] = workers as [Worker, Worker]
    first.postMessage('unbind')
    expect(await once(first, 'message')).toEqual(['unbound'])
    for (let n = 0; n < 20; n++) expect((await client.call()).data.toString()).toBe(String(second.threadId))
    first.postMessage('end')
    await once(first, 'exit')
  })

  test('a thread that ended is replaced', async () => {
    const { create, workers } = newCreation()
    const { client } = await newPoolDoor('default', { threads: { min: 1, max: 1, create } })
    await client.call()
    await workers[0]?.terminate()
    expect((await client.call()).data.toString()).toBe(String(workers[1]?.threadId))
  })

  test('when the pool has ended, its threads are unbound', async () => {
    const { create, workers } = newCreation()
    const { client, door } = await newPoolDoor('default', { threads: { create } })
    await client.call()
    const told = once(workers[0] as Worker, 'message')
    await door.revoke()
    client.close()
    expect(await told).toEqual(['unbound'])
  })

  test('a handle is good for one bind', async () => {
    let handle: PoolHandle | undefined
    const { create } = newCreation()
    const { client } = await newPoolDoor('default', {
      threads: {
        max: 1,
        create: (request) => {
          handle = request.handle
          return create(request)
        },
      },
    })
    await client.call()
    expect(await codeOf(() => bind(handle as PoolHandle))).toBe('EINVAL')
    await client.call()
  })

  test('what is no handle is EINVAL; one of a pool that has ended is EBADF', async () => {
    expect(await codeOf(() => bind({} as never))).toBe('EINVAL')
    let handle: PoolHandle | undefined
    const door = createDoor(procedure('default'), {
      threads: {
        create: (request) => {
          handle = request.handle
          return null
        },
      },
    })
    door.close()
    expect(await codeOf(() => bind(handle as PoolHandle))).toBe('EBADF')
  })

  test('100: a thread that is not bound any more cannot be unbound again: EBADF', async () => {
    const { create, workers } = newCreation()
    const { client } = await newPoolDoor('default', { threads: { min: 1, create } })
    const [worker] = workers as [Worker]
    await once(worker, 'message')
    await client.call()
    worker.postMessage('unbind')
    expect(await once(worker, 'message')).toEqual(['unbound'])
    worker.postMessage('unbind')
    expect(await once(worker, 'message')).toEqual(['EBADF'])
    worker.postMessage('end')
  })

  test('101: a thread that is not bound has no door: EBADF', async () => {
    expect(await codeOf(() => currentDoor())).toBe('EBADF')
  })
})

describe('xcreateDoor', () => {
  test('19, 20: resolves when all its threads are bound', async () => {
    const { create, workers } = newCreation()
    const door = own(await xcreateDoor(procedure('default'), { threads: { count: 3, create, grow: false } }))
    expect(workers).toHaveLength(3)
    const { attributes } = door.info()
    expect(attributes & (DOOR_PRIVATE | DOOR_NO_DEPLETION_CB)).toBe(DOOR_PRIVATE | DOOR_NO_DEPLETION_CB)
  })

  test.each([
    ['no thread', { count: 0 }],
    ['part of a thread', { count: 1.5 }],
    ['an unknown option', { count: 1, min: 1 } as never],
    ['a callback that declines', { count: 1, create: () => null }],
  ])('19: %s is EINVAL, and there is no door', async (_, threads) => {
    const before = countOpen()
    expect(await codeOf(() => xcreateDoor(procedure('default'), { threads }))).toBe('EINVAL')
    await until(() => countOpen() <= before)
  })

  test('19: a callback that fails is EPIPE, with its error', async () => {
    const failure = new Error('no memory')
    const create: ServerCreation = () => {
      throw failure
    }
    const error: unknown = await xcreateDoor(procedure('default'), { threads: { count: 2, create } }).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ code: 'EPIPE', cause: failure })
  })

  test('19: a thread that ends before it is bound is EBADF', async () => {
    const create: ServerCreation = () => new Worker('process.exit(0)', { eval: true })
    expect(await codeOf(() => xcreateDoor(procedure('default'), { threads: { count: 1, create } }))).toBe(
      'EBADF',
    )
  })

  test('97: with grow false, callers wait when all threads run procedures', async () => {
    const { create, depletions } = newCreation()
    const door = own(await xcreateDoor(procedure('block'), { threads: { count: 1, create, grow: false } }))
    const { DoorClient } = await import('../src/index.ts')
    const client = own(DoorClient.from(door.descriptor()))
    const [one, two] = [new Fifo(), new Fifo()]
    const calls = [client.call(one.path), client.call(two.path)]
    await one.release('1')
    await two.release('2')
    await Promise.all(calls)
    expect(depletions).toEqual([false])
  })
})
