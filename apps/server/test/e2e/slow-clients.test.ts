import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

const timeout = 1000
const clients = 40
const size = 8 * 1024 * 1024
let server: ServerProcess

beforeAll(async () => {
  server = await ServerProcess.start({
    timeouts: { head: timeout, body: timeout, write: timeout },
    mounts: [
      { prefix: '/hello', module: handlerFile('hello') },
      { prefix: '/body', module: handlerFile('body') },
      { prefix: '/stream', module: handlerFile('stream'), options: { size } },
    ],
  })
})
afterAll(() => server[Symbol.asyncDispose]())

/** What a slow client got until its connection ended, and how often it had sent a byte by then. */
interface End {
  readonly text: string
  readonly steps: number
}

/** Sends the start, then one byte after the other, with pauses that are shorter than the timeout. */
async function sendSlowly(start: string, byte: string): Promise<End> {
  const socket = await open(start)
  let text = ''
  socket.setEncoding('latin1').on('data', (piece: string) => (text += piece))
  const steps = await untilClosed(socket, () => socket.write(byte))
  return { text, steps }
}

async function open(text: string): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1').setNoDelay(true)
  // However it ends is fine.
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(text)
  return socket
}

/** Takes one step after the other until the connection has ended, well or not. Returns their number. */
function untilClosed(socket: Socket, step: () => unknown): Promise<number> {
  return new Promise((resolve) => {
    let steps = 0
    const timer = setInterval(() => {
      step()
      steps += 1
    }, timeout / 20)
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      clearInterval(timer)
      resolve(steps)
    })
  })
}

/** Requests of a client that is not slow, one after the other, until `over`. Returns their statuses. */
async function served(over: Promise<unknown>): Promise<{ statuses: Set<number | undefined>; count: number }> {
  const waiting = { over: false }
  void over.finally(() => (waiting.over = true))
  using connection = await Connection.open(server.port)
  const statuses = new Set<number | undefined>()
  let count = 0
  while (!waiting.over) {
    statuses.add((await connection.get('/hello'))?.status)
    count += 1
  }
  return { statuses, count }
}

const head = 'Host: localhost\r\n'

test.each([
  ['a head', `GET /hello HTTP/1.1\r\n${head}X: `],
  ['a request line', 'GET /'],
  ['a body', `POST /body HTTP/1.1\r\n${head}Content-Length: 100000\r\n\r\n`],
  ['a chunk extension', `POST /body HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n1;`],
])(`${clients} clients that send %s slowly get 408, and others are served meanwhile`, async (_, start) => {
  const slow = Promise.all(Array.from({ length: clients }, () => sendSlowly(start, 'y')))
  const [ends, others] = await Promise.all([slow, served(slow)])
  for (const { text, steps } of ends) {
    expect(text).toMatch(/^HTTP\/1\.1 408 /u)
    // They were neither refused at once nor cut off by a pause.
    expect(steps).toBeGreaterThan(5)
  }
  expect([...others.statuses]).toEqual([200])
  expect(others.count).toBeGreaterThan(100)
})

test.each([
  ['that is streamed', '/stream/iterable'],
  ['of one piece', '/stream/bytes'],
])(
  'a client that reads a response %s slowly is cut off, and others are served meanwhile',
  async (_, path) => {
    using other = await Connection.open(server.port)
    expect((await other.get('/hello'))?.status).toBe(200)
    const before = server.descriptors()
    const socket = await open(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    const timer = setInterval(() => socket.read(1) as unknown, timeout / 20)
    for (let round = 0; round < 100; round++) expect((await other.get('/hello'))?.status).toBe(200)
    // Its connection has been accepted with the first of these, if not before.
    await expect.poll(() => server.descriptors()).toBeLessThanOrEqual(before)
    clearInterval(timer)
    // One who hardly reads does not notice the end: what had been sent is still to be read.
    const closed = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve))
    socket.resume()
    await closed
    expect(socket.bytesRead).toBeLessThan(size)
  },
)

test('a client that only connects is closed without a word', async () => {
  using connection = await Connection.open(server.port)
  expect(await connection.rest()).toBe('')
})

test('all of them are gone in the end, with their requests', async () => {
  await expect.poll(() => server.references()).toEqual([0, 0, 0])
})
