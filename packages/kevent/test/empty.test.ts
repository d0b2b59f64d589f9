import { describe, expect, test } from 'vitest'
import { EVFILT_EMPTY, EV_ADD, EV_CLEAR, EV_DISPATCH, EV_ENABLE } from '../src/index.ts'
import { change, due, newFifo, newQueue, refused } from './fixtures/queue.ts'
import { connect, descriptorOf, listen } from './fixtures/sockets.ts'

const second = 1000

describe('EMPTY', () => {
  test('W22: of an idle connection at once; with bytes in it not; once the peer has taken them', async () => {
    const [kq, { near, far }] = [newQueue(), await connect()]
    const ident = descriptorOf(far)
    change(kq, { ident, filter: EVFILT_EMPTY, flags: EV_ADD, udata: 2 })
    expect(due(kq)).toEqual([{ ident, filter: EVFILT_EMPTY, flags: 0, fflags: 0, data: 0, udata: 2 }])
    expect(due(kq)).toHaveLength(1)
    // More than the two kernels' buffers take.
    far.write(Buffer.alloc(64 << 20))
    expect(due(kq)).toEqual([])
    const wait = kq.wait({ timeout: 30 * second })
    near.on('data', () => undefined)
    near.resume()
    expect(await wait).toMatchObject([{ ident, filter: EVFILT_EMPTY }])
  })

  test('EV_DISPATCH: it is looked at again when it is enabled', async () => {
    const [kq, { near }] = [newQueue(), await connect()]
    const knote = { ident: descriptorOf(near), filter: EVFILT_EMPTY }
    change(kq, { ...knote, flags: EV_ADD | EV_DISPATCH })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
    change(kq, { ...knote, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('of a listener: always', async () => {
    const [kq, server] = [newQueue(), await listen()]
    change(kq, {
      ident: descriptorOf(server),
      filter: EVFILT_EMPTY,
      flags: EV_ADD,
    })
    expect(due(kq)).toHaveLength(1)
  })

  test('of what is no socket, and with EV_CLEAR: EINVAL', async () => {
    const [kq, { near }, fifo] = [newQueue(), await connect(), newFifo()]
    for (const [ident, flags] of [
      [fifo.fd, EV_ADD],
      [descriptorOf(near), EV_ADD | EV_CLEAR],
    ] as const) {
      expect(refused(kq, { ident, filter: EVFILT_EMPTY, flags })).toBe('EINVAL')
    }
  })
})
