import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_TIMER,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ONESHOT,
  KEventList,
  KQueue,
  NOTE_TRIGGER,
} from '../src/index.ts'
import { change, due, newFifo, newQueue } from './fixtures/queue.ts'

const trigger = (kq: KQueue, ...idents: number[]): void => {
  change(kq, ...idents.map((ident) => ({ ident, filter: EVFILT_USER, fflags: NOTE_TRIGGER })))
}

const withUsers = (...idents: number[]): KQueue => {
  const kq = newQueue()
  change(kq, ...idents.map((ident) => ({ ident, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })))
  return kq
}

describe('wait', () => {
  test('resolves with one event unless told, so that others may take the rest', async () => {
    const kq = withUsers(1, 2, 3)
    trigger(kq, 1, 2, 3)
    expect(await kq.wait()).toMatchObject([{ ident: 1 }])
    expect(due(kq)).toHaveLength(2)
  })

  test('resolves with up to max', async () => {
    const kq = withUsers(1, 2, 3)
    trigger(kq, 1, 2, 3)
    expect(await kq.wait({ max: 2 })).toHaveLength(2)
    expect(await kq.wait({ max: 8 })).toHaveLength(1)
  })

  test('waits that are under way are served in turn', async () => {
    const kq = withUsers(1)
    const order: number[] = []
    const waits = [1, 2, 3].map(async (turn) => {
      await kq.wait()
      order.push(turn)
    })
    for (const wait of waits) {
      trigger(kq, 1)
      await wait
    }
    expect(order).toEqual([1, 2, 3])
  })

  test('waits inside of waits', async () => {
    const kq = withUsers(1)
    const nested = async (depth: number): Promise<number> => {
      trigger(kq, 1)
      const [event] = await kq.wait()
      return depth === 0 ? event!.ident : nested(depth - 1)
    }
    expect(await nested(100)).toBe(1)
  })

  test('with a timeout resolves with none when it has passed', async () => {
    const kq = withUsers(1)
    const start = performance.now()
    expect(await kq.wait({ timeout: 30 })).toEqual([])
    expect(performance.now() - start).toBeGreaterThanOrEqual(29)
    trigger(kq, 1)
    expect(due(kq)).toHaveLength(1) // the wait that is over takes no event
  })

  test('a timeout beyond what a timer can do waits', async () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_TIMER, flags: EV_ADD | EV_ONESHOT, data: 30 })
    expect(await kq.wait({ timeout: 1e12 })).toHaveLength(1)
  })

  test('rejects with the reason of its signal', async () => {
    const kq = withUsers(1)
    const controller = new AbortController()
    const waits = [kq.wait({ signal: controller.signal }), kq.wait(), kq.wait({ signal: controller.signal })]
    const outcomes = Promise.allSettled(waits)
    controller.abort(new Error('enough'))
    trigger(kq, 1)
    const [first, second, third] = await outcomes
    expect(first).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    expect(second).toMatchObject({ status: 'fulfilled', value: [{ ident: 1 }] })
    expect(third).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    await expect(kq.wait({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
  })

  test('refuses options that it does not know, and values that are none', async () => {
    const kq = newQueue()
    const wrong = [{ max: 0 }, { max: 1.5 }, { timeout: -1 }, { timeout: NaN }, { deadline: 5 }]
    for (const options of wrong) await expect(kq.wait(options)).rejects.toMatchObject({ code: 'EINVAL' })
  })

  test('close and release reject what waits, and what comes after', async () => {
    for (const end of ['close', 'release'] as const) {
      const kq = new KQueue()
      const waits = [kq.wait(), kq.wait()]
      const outcomes = Promise.allSettled(waits)
      kq[end]()
      for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: { code: 'EBADF' } })
      await expect(kq.wait()).rejects.toMatchObject({ code: 'EBADF' })
    }
  })

  test('X5: close by another thread’s KQueue rejects it', async () => {
    const kq = new KQueue()
    const other = KQueue.attach(kq.share())
    const wait = kq.wait()
    setTimeout(() => {
      other.close()
    }, 5)
    await expect(wait).rejects.toMatchObject({ code: 'EBADF' })
  })

  test('beside a consumption of the same KQueue it is EBUSY', async () => {
    const kq = newQueue()
    const consumption = kq.consume({ changes: new KEventList(1), events: new KEventList(1) }, () => 0)
    await expect(kq.wait()).rejects.toMatchObject({ code: 'EBUSY' })
    consumption.stop()
  })
})

describe('the asynchronous iterator', () => {
  test('yields events one at a time until the queue is closed', async () => {
    const [kq, fifo] = [new KQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    fifo.write('abc')
    let text = ''
    for await (const { ident, filter } of kq) {
      text += fifo.read(1)
      if (text === 'abc') kq.close()
      else change(kq, { ident, filter, flags: EV_ENABLE })
    }
    expect(text).toBe('abc')
  })

  test('leaves the rest to others when it is left', async () => {
    const kq = withUsers(1, 2)
    trigger(kq, 1, 2)
    for await (const event of kq) {
      expect(event.ident).toBe(1)
      break
    }
    expect(due(kq)).toMatchObject([{ ident: 2 }])
  })
})
