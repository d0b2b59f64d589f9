import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HttpRequest, ResponseLike } from '../src/index.ts'
import { type Answer, Client } from './fixtures/client.ts'
import { numbered, ours, type RequestCase } from './fixtures/request-cases.ts'
import { Server } from './fixtures/server.ts'

const probe = 'GET /probe HTTP/1.1\r\nHost: a\r\n\r\n'

async function handle(request: HttpRequest): Promise<ResponseLike> {
  if (request.path === '/host') return { body: request.host }
  if (request.path === '/probe') return { body: 'probe' }
  if (request.path === '/early') return { body: 'early' }
  if (request.method === 'POST') return { body: await request.body.bytes() }
  return { body: 'OK' }
}

const isHead = ({ bytes }: RequestCase): boolean => bytes.startsWith('HEAD ')

/** Plays a case: what is answered before the probe, and whether the connection took the probe at all. */
async function play(
  port: number,
  one: RequestCase,
  pieces: readonly string[],
): Promise<{ outcome: string; answers: Answer[] }> {
  using client = await Client.open(port)
  for (const piece of pieces) await client.send(piece)
  const answers: Answer[] = []
  let first = await client.next(isHead(one))
  if (first?.status === 100 && (one.expected.includes('100') || pieces.length === 1)) {
    return { outcome: '100', answers }
  }
  // A body that comes byte by byte is asked for.
  if (first?.status === 100) first = await client.next()
  if (first === undefined) return { outcome: 'close', answers }
  answers.push(first)
  if (!client.closed) await client.send(probe)
  for (;;) {
    const answer = await client.next()
    const outcome = answers.map(({ status }) => status).join(',')
    if (answer === undefined) return { outcome: `${outcome}!`, answers }
    if (answer.body === 'probe') return { outcome, answers }
    answers.push(answer)
  }
}

let server: Server
beforeAll(() => {
  server = new Server(handle)
})
afterAll(() => server.close())

const title = ({ number, title }: RequestCase): string =>
  number === undefined ? title : `${number}: ${title}`

function check(one: RequestCase, outcome: string, answers: readonly Answer[]): void {
  expect(one.expected).toContain(outcome)
  if (one.body !== undefined) expect(answers[0]?.body).toBe(one.body)
  for (const { status, headers, body } of answers) {
    if (status < 400) continue
    expect(headers.get('connection')).toBe('close')
    if (isHead(one)) continue
    expect(Number(headers.get('content-length'))).toBe(body.length)
    expect(body).toMatch(/\.\n$/)
  }
}

describe('the list of cases', () => {
  it('has 119, each once', () => {
    expect(numbered.map(({ number }) => number)).toEqual(Array.from({ length: 119 }, (_, i) => i + 1))
  })
})

describe('requests that come in one piece', () => {
  it.each([...numbered, ...ours].map((one) => [title(one), one] as const))('%s', async (_, one) => {
    const { outcome, answers } = await play(server.port, one, [one.bytes])
    check(one, outcome, answers)
  })
})

describe('the same requests, byte by byte', () => {
  const short = [...numbered, ...ours].filter(({ bytes }) => bytes.length < 400)
  it.each(short.map((one) => [title(one), one] as const))('%s', async (_, one) => {
    const { outcome, answers } = await play(server.port, one, one.bytes.split(''))
    check(one, outcome, answers)
  })
})
