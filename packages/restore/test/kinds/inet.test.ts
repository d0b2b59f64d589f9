import { describe, expect, test } from 'vitest'
import type { Known } from '../fixtures/namespace.ts'
import { ask, look, restore, taken, useNamespace } from '../fixtures/restored-sockets.ts'
import { SocketSet } from '../fixtures/socket-set.ts'

const LISTEN = 10
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_REUSEPORT = 15

useNamespace()

const reuse = async (socket: Known): Promise<number[]> => [
  await ask<number>('option', socket, SOL_SOCKET, SO_REUSEADDR),
  await ask<number>('option', socket, SOL_SOCKET, SO_REUSEPORT),
]

describe('listeners', () => {
  test('several at one port, in several processes', async () => {
    const set = new SocketSet()
    for (const pid of [100, 101, 102]) {
      const id = set.inet({ state: LISTEN, srcPort: 8000, backlog: 5, opts: { soReuseport: true } })
      set.hold(pid, 3, id)
    }
    await restore(set)
    for (const place of [0, 1, 2]) {
      const socket = await taken(place, 3)
      expect(await look(socket)).toMatchObject({ local: ['127.0.0.1', 8000], state: LISTEN })
      expect(await reuse(socket)).toEqual([0, 1])
    }
  })

  test('beside a socket that is only bound to the same address, whoever comes first', async () => {
    const set = new SocketSet()
    const options = { opts: { reuseaddr: true } }
    set.hold(100, 3, set.inet({ state: LISTEN, srcPort: 8000, backlog: 5, ...options }))
    set.hold(100, 4, set.inet({ srcPort: 8000, ...options }))
    set.hold(101, 3, set.inet({ srcPort: 8000, ...options }))
    await restore(set)
    expect(await look(await taken(0, 3))).toMatchObject({ state: LISTEN })
    expect(await look(await taken(0, 4))).toMatchObject({ local: ['127.0.0.1', 8000], state: 7 })
    expect(await reuse(await taken(1, 3))).toEqual([1, 0])
  })
})
