// Doors: `how` a client calls, `pool` (threads) or the event loop that serves, `area` for shared memory.
import { openSync } from 'node:fs'
import { createDoor, openDoor } from '../../dist/index.js'
import echo from '../echo.js'

const MOST = 1 << 20

export const serve = ({ path, how, pool }) => {
  // What belongs to callInto: no memory is made for a call, on either side.
  const reuse = how === 'callInto' ? { reuseBuffer: true } : {}
  const door =
    pool === undefined
      ? createDoor(echo, reuse)
      : createDoor(new URL('../echo.js', import.meta.url), { threads: { min: pool, max: pool }, ...reuse })
  door.attach(path)
}

const ways = {
  callInto: (client) => {
    const out = new Uint8Array(MOST)
    return { sync: true, call: (data) => client.callInto(data, out) }
  },
  callSync: (client) => ({
    sync: true,
    call: (data, fd) => client.callSync(data, fd === undefined ? {} : { fds: [fd] }),
    bytesOf: ({ data }) => data,
  }),
  call: (client) => ({
    sync: false,
    call: (data, fd) => client.call(data, fd === undefined ? {} : { fds: [fd] }),
    bytesOf: ({ data }) => data,
  }),
}

export const connect = async ({ path, how, area }) => {
  const client = await openDoor(path, { sharedMemory: area })
  return { ...ways[how](client), descriptor: () => openSync('/dev/null') }
}
