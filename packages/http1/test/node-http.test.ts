import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server as NodeServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HttpRequest, ResponseLike } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { type Difference, explain } from './fixtures/node-differences.ts'
import { messages } from './fixtures/random-requests.ts'
import { Server } from './fixtures/server.ts'

/** Seconds of a longer search with seeds of its own; without it, a short one that is the same in every run. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 0)

/** A request that a server took, as its handler saw it, with its body to the end. */
interface Taken {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
  readonly trailers: readonly (readonly [string, string])[]
}

// node:http takes any field for a trailer; which it must not be is in trailers.test.ts.
const notTrailers = /^(host|content-length|transfer-encoding|expect|connection|upgrade)$/

// In the order in which they came: node:http has several of a pipeline in hand at once.
let taken: (Taken | undefined)[] = []
let problem = ''

async function handle(request: HttpRequest): Promise<ResponseLike> {
  const { method, target, version } = request
  const headers = [...request.headers].map(([name, value]) => [name.toLowerCase(), value] as const)
  const body = Buffer.from(await request.bytes()).toString('latin1')
  taken.push({ method, target, version, headers, body, trailers: [...request.trailers] })
  return { body: 'ok' }
}

async function handleByNode(request: IncomingMessage): Promise<void> {
  const list = taken
  const place = list.push(undefined) - 1
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  const headers = pairs(request.rawHeaders)
  const trailers = pairs(request.rawTrailers).filter(([name]) => !notTrailers.test(name))
  const body = Buffer.concat(pieces).toString('latin1')
  const { method = '', url: target = '', httpVersion: version } = request
  list[place] = { method, target, version, headers, body, trailers }
}

function pairs(raw: readonly string[]): (readonly [string, string])[] {
  return raw.flatMap((name, i) =>
    i % 2 === 0 ? [[name.toLowerCase(), (raw[i + 1] ?? '').trim()] as const] : [],
  )
}

let ours: Server
let theirs: NodeServer
beforeAll(async () => {
  ours = new Server(handle)
  theirs = createServer((request, response) => {
    handleByNode(request).then(
      () => response.end('ok'),
      () => undefined,
    )
  })
  theirs.on('checkExpectation', (_, response) => response.writeHead(417, { connection: 'close' }).end())
  theirs.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    problem = error.code ?? error.message
    socket.destroy()
  })
  theirs.listen(0, '127.0.0.1')
  await once(theirs, 'listening')
})
afterAll(async () => {
  await ours.close()
  theirs.close()
  theirs.closeAllConnections()
})

/** What one of the servers takes of the bytes before it ends the connection, and why it took no more. */
async function give(port: number, bytes: string): Promise<{ taken: Taken[]; problem: string }> {
  taken = []
  problem = ''
  using client = await Client.open(port)
  await client.send(bytes)
  client.socket.end()
  await client.untilClosed()
  const refusal = /HTTP\/1\.1 ([45]\d\d) [^]*\r\n\r\n(.*)\n$/.exec(client.rest)
  const whole = taken.filter((one) => one !== undefined)
  return { taken: whole, problem: problem || (refusal === null ? '' : `${refusal[1]} ${refusal[2]}`) }
}

/** Plays the bytes to both. Where they part, the list has to know why: the reason is returned. */
async function compare(bytes: string): Promise<Difference | undefined> {
  const here = await give(ours.port, bytes)
  const there = await give((theirs.address() as AddressInfo).port, bytes)
  const both = Math.min(here.taken.length, there.taken.length)
  expect(here.taken.slice(0, both), JSON.stringify(bytes)).toEqual(there.taken.slice(0, both))
  if (here.taken.length === there.taken.length) return undefined
  const reason =
    here.taken.length < there.taken.length
      ? explain('node', here.problem, bytes)
      : explain('ours', there.problem, bytes)
  const told = `ours ${here.taken.length} ${here.problem}, node ${there.taken.length} ${there.problem}`
  expect(reason, `${JSON.stringify(bytes)}: ${told}`).toBeDefined()
  return reason
}

describe('requests beside node:http', () => {
  it('are taken alike, or there is a written reason (property)', async () => {
    await fc.assert(
      fc.asyncProperty(messages, async (bytes) => {
        await compare(bytes)
      }),
      { numRuns: 400, seed: 9112 },
    )
  })

  it.skipIf(seconds === 0)(`are so for ${seconds} s`, { timeout: (seconds + 60) * 1000 }, async () => {
    const until = performance.now() + seconds * 1000
    const reasons = new Map<string, number>()
    let runs = 0
    while (performance.now() < until) {
      await fc.assert(
        fc.asyncProperty(messages, async (bytes) => {
          runs += 1
          const reason = await compare(bytes)
          if (reason !== undefined) reasons.set(reason.what, (reasons.get(reason.what) ?? 0) + 1)
        }),
        { numRuns: 500 },
      )
    }
    console.log(`${runs} inputs`, Object.fromEntries(reasons))
  })
})
