import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { Connection } from '../e2e/connection.ts'
import { ServerProcess, handlerFile } from '../e2e/server-process.ts'

/** Seconds of load; the recorded run uses 60. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 3)
const head = 'Host: localhost\r\n'

interface Exchange {
  text: string
  expected: string
}

let last = 0

function exchange(): Exchange {
  const id = ++last
  switch (randomInt(5)) {
    case 0:
      return { text: `GET /id/${id}/later HTTP/1.1\r\n${head}\r\n`, expected: `/${id}/later` }
    case 1: {
      const body = `body-${id}-`.repeat(randomInt(1, 4000))
      const text = `POST /id/${id} HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`
      return { text, expected: `/${id} ${body}` }
    }
    case 2: {
      const pieces = Array.from({ length: randomInt(1, 8) }, () => `piece-${id};`.repeat(randomInt(1, 500)))
      const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')
      const text = `POST /id/${id} HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`
      return { text, expected: `/${id} ${pieces.join('')}` }
    }
    default:
      return { text: `GET /id/${id} HTTP/1.1\r\n${head}\r\n`, expected: `/${id}` }
  }
}

/** Sends in pieces that end anywhere: in a head, in a chunk's size, in the middle of the next request. */
async function sendInPieces(connection: Connection, text: string): Promise<void> {
  for (let at = 0; at < text.length;) {
    const size = randomInt(3) === 0 ? text.length : randomInt(1, 20_000)
    connection.send(text.slice(at, at + size))
    at += size
    if (at < text.length) await new Promise((resolve) => setImmediate(resolve))
  }
}

async function client(port: number, until: number): Promise<number> {
  let answered = 0
  while (performance.now() < until) {
    using connection = await Connection.open(port)
    for (let turn = randomInt(1, 50); turn > 0 && performance.now() < until; turn--) {
      const pipelined = Array.from({ length: randomInt(1, 6) }, exchange)
      const sending = sendInPieces(connection, pipelined.map(({ text }) => text).join(''))
      for (const { expected } of pipelined) {
        const response = await connection.response()
        expect({ status: response?.status, body: response?.body }).toEqual({ status: 200, body: expected })
        answered++
      }
      await sending
    }
  }
  return answered
}

test(
  `${seconds} s of requests of every shape from 40 connections: each response is whole and its own`,
  async () => {
    const mounts = [{ prefix: '/id', module: handlerFile('identity') }]
    await using server = await ServerProcess.start({ mounts, workers: 3 })
    const until = performance.now() + seconds * 1000
    let swaps = 0
    const swapping = (async () => {
      while (performance.now() < until - 500) {
        const { code } = await server.command('replace', '/id', '--module', handlerFile('identity'))
        expect(code).toBe(0)
        swaps++
      }
    })()
    const clients = Array.from({ length: 40 }, () => client(server.port, until))
    const counts = await Promise.all(clients)
    await swapping
    console.log(`${counts.reduce((sum, count) => sum + count, 0)} responses, ${swaps} replacements`)
    expect(await server.references()).toEqual([0])
    server.signal('SIGTERM')
    expect(await server.exited()).toBe(0)
    const cleaned = server.log.filter(({ msg }) => msg === 'cleaned up').map(({ generation }) => generation)
    expect(new Set(cleaned).size).toBe(cleaned.length)
    expect(cleaned).toHaveLength(swaps + 1)
  },
  (seconds + 60) * 1000,
)
