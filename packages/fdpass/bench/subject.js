// One measured pair of processes: `node subject.js '{"kind":…,"k":…,"messages":…,"warm":…}'` sends, to a child of its
// own that receives and closes, and prints one line of JSON: µs of wall time and of CPU, of both.
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer, connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { FdSocket } from '../dist/index.js'

const require = createRequire(import.meta.url)
const here = fileURLToPath(import.meta.url)
const options = JSON.parse(process.argv[2])
const { kind, role = 'send', k, messages, warm } = options
const [stream, sync] = [kind === 'usocket' || kind.includes('framed'), kind.includes('sync')]
/** usocket sends what met EAGAIN again without its descriptors: it must never meet it. */
const WINDOW = 32

const cpu = () => {
  const { user, system } = process.cpuUsage()
  return user + system
}
const byte = Buffer.from('x')

/** Counts received descriptors: tells the parent when it starts to count, and what it took. */
class Meter {
  #left = warm * k
  #begun = 0

  count(descriptors) {
    this.#left -= descriptors
    if (this.#left > 0 || descriptors === 0) return
    if (this.#begun === 0) {
      this.#begun = cpu()
      this.#left += messages * k
      process.send('begin')
    } else {
      process.send({ cpu: cpu() - this.#begun })
      process.disconnect()
    }
  }
}

const receive = {
  fdpass: async (meter) => {
    const socket = FdSocket.from(3)
    await socket.send('ready')
    const total = messages + warm
    for (let n = 0; n < total; n++) {
      const message = sync ? socket.recvSync() : await socket.recv()
      const count = message.fdCount
      message.close()
      meter.count(count)
    }
    socket.close()
  },
  usocket: (meter) => {
    const { USocket } = require('usocket')
    const socket = new USocket({ fd: 3 })
    let received = 0
    let acknowledged = 0
    socket.on('readable', () => {
      const { fds } = socket.read(undefined, null)
      for (const fd of fds) closeSync(fd)
      received += fds.length
      for (; acknowledged + WINDOW * k <= received; acknowledged += WINDOW * k) socket.write(byte)
      meter.count(fds.length)
    })
    socket.write(byte)
  },
  ipc: (meter) => {
    process.on('message', (message, handle) => {
      handle.destroy()
      meter.count(1)
    })
  },
}

const send = {
  fdpass: async () => {
    const [near, far] = FdSocket.pair({ type: stream ? 'stream' : 'seqpacket' })
    const child = start(far.fd)
    await once(child, 'spawn')
    far.close()
    await near.recv()
    const fds = Array.from({ length: k }, () => openSync('/dev/null'))
    const burst = async (count) => {
      if (sync) for (let n = 0; n < count; n++) near.sendSync(byte, fds)
      else for (let n = 0; n < count; n++) await near.send(byte, fds)
    }
    return { child, burst }
  },
  usocket: async () => {
    const { USocket } = require('usocket')
    const [near, far] = FdSocket.pair({ type: 'stream', framed: false })
    const child = start(far.fd)
    await once(child, 'spawn')
    far.close()
    const socket = new USocket({ fd: near.take() })
    let allowed = 0
    let granted
    socket.on('data', (bytes) => {
      allowed += WINDOW * bytes.length
      granted?.()
    })
    while (allowed === 0) await new Promise((resolve) => (granted = resolve))
    const fds = Array.from({ length: k }, () => openSync('/dev/null'))
    const burst = async (count) => {
      for (let n = 0; n < count; n++) {
        while (allowed === 0) await new Promise((resolve) => (granted = resolve))
        allowed--
        await new Promise((resolve) => socket.write({ data: byte, fds, callback: resolve }))
      }
    }
    return { child, burst }
  },
  ipc: async () => {
    const child = fork(here, [JSON.stringify({ ...options, role: 'receive' })], { stdio: 'inherit' })
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepted = once(server, 'connection')
    const near = connect(server.address().port)
    const [handle] = await accepted
    const burst = async (count) => {
      for (let n = 0; n < count; n++) {
        await new Promise((resolve) => child.send('x', handle, { keepOpen: true }, resolve))
      }
    }
    const stop = () => {
      near.destroy()
      handle.destroy()
      server.close()
    }
    return { child, burst, stop }
  },
}

const start = (fd) =>
  spawn(process.execPath, [here, JSON.stringify({ ...options, role: 'receive' })], {
    stdio: ['inherit', 'inherit', 'inherit', fd, 'ipc'],
  })

const family = kind.startsWith('fdpass') ? 'fdpass' : kind
if (role === 'receive') {
  receive[family](new Meter())
} else {
  const { child, burst, stop } = await send[family]()
  const begin = once(child, 'message')
  await burst(warm)
  await begin
  const done = once(child, 'message')
  const [wall, used] = [performance.now(), cpu()]
  await burst(messages)
  const sender = cpu() - used
  const [{ cpu: receiver }] = await done
  process.stdout.write(
    `${JSON.stringify({ wall: (performance.now() - wall) * 1000, cpu: sender + receiver })}\n`,
  )
  stop?.()
  process.exit()
}
