import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { own } from './fixtures/queue.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const example = `${root}examples/echo-server.js`
const idle = 1500

/**
 * Sends random bytes at random times, reads its echo, and then is idle. Returns for how long at most the server can
 * have seen it idle, and whether every byte came back.
 */
const client = async (port: number): Promise<{ echoed: boolean; idleFor: number }> => {
  let last = performance.now() // before what the server sees, which a busy machine may show here much later
  const socket = net.connect(port, '127.0.0.1')
  const received: Buffer[] = []
  const sent: Buffer[] = []
  socket.on('data', (data) => received.push(data))
  const ended = once(socket, 'end')
  await once(socket, 'connect')
  for (let count = Math.floor(Math.random() * 4); count > 0; count--) {
    await setTimeout(Math.random() * idle * 0.4)
    const bytes = Buffer.alloc(1 + Math.floor(Math.random() * 2000), Math.floor(Math.random() * 256))
    sent.push(bytes)
    last = performance.now()
    socket.write(bytes)
  }
  await ended
  const echoed = Buffer.concat(received).equals(Buffer.concat(sent))
  return { echoed, idleFor: performance.now() - last }
}

test('the example is an echo server of less than 80 lines', () => {
  expect(readFileSync(example, 'utf8').trimEnd().split('\n').length).toBeLessThan(80)
})

test(
  'a thousand clients: every byte comes back, every idle one is torn down once',
  { timeout: 60_000 },
  async () => {
    const server = spawn(process.execPath, [example, '0', '3', String(idle)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    own({ [Symbol.dispose]: () => server.kill('SIGKILL') })
    const lines = createInterface(server.stdout)[Symbol.asyncIterator]()
    const { value: first } = (await lines.next()) as { value: string }
    const port = Number(first.split(' ')[1])
    const clients: Promise<{ echoed: boolean; idleFor: number }>[] = []
    for (let count = 0; count < 1000; count++) {
      clients.push(client(port))
      if (count % 50 === 0) await setTimeout(Math.random() * 20)
    }
    const outcomes = await Promise.all(clients)
    expect(outcomes.filter(({ echoed }) => !echoed)).toEqual([])
    // A clock of another process, read at another moment.
    expect(outcomes.filter(({ idleFor }) => idleFor < idle - 50)).toEqual([])
    server.kill('SIGTERM')
    // Torn down twice, a connection would have been an error of the server.
    expect(await lines.next()).toEqual({ value: 'accepted 1000, open 0, forced 1000', done: false })
    expect(await once(server, 'exit')).toEqual([0, null])
  },
)
