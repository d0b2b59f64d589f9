import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HttpRequest, ResponseLike } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { parseWithLlhttp } from './fixtures/llhttp.ts'
import { Server } from './fixtures/server.ts'

interface Seen {
  outcome: 'accepted' | 'refused' | 'partial'
  method?: string
  target?: string
  headers?: [string, string][]
  problem?: string
}

const describeRequest = (request: HttpRequest): ResponseLike => ({
  headers: { connection: 'close', 'x-seen': 'yes' },
  body: JSON.stringify({ method: request.method, target: request.target, headers: [...request.headers] }),
})

let server: Server
beforeAll(() => {
  server = new Server(describeRequest)
})
afterAll(() => server.close())

/** What our parser makes of the head, seen from the other end of a connection. */
async function parseWithOurs(head: string): Promise<Seen> {
  using client = await Client.open(server.port)
  await client.send(head)
  client.socket.end()
  const answer = await client.next()
  if (answer === undefined) return { outcome: 'partial' }
  if (!answer.headers.has('x-seen'))
    return { outcome: 'refused', problem: `${answer.status} ${answer.body.trim()}` }
  const described = JSON.parse(Buffer.from(answer.body, 'latin1').toString()) as Omit<Seen, 'outcome'>
  return { outcome: 'accepted', ...described }
}

const methods = ['DELETE', 'GET', 'HEAD', 'POST', 'PUT']

/** What we refuse on purpose and llhttp leaves to the program above it, by the problem that we name. */
const stricter = [
  /^501 The request method is not implemented/, // CONNECT, TRACE, WebDAV and the like
  /^505 /, // llhttp takes HTTP/0.9 and HTTP/2.0
  /^400 The request target/, // forms and characters of the target
  /^400 The target \* /,
  /^400 The host in the request target/,
  /^400 The Host field/,
  /^400 There is more than one (Host|Content-Length|Transfer-Encoding) field/,
  /^400 (Transfer-Encoding|The Transfer-Encoding|The coding chunked)/,
  /^501 Only the transfer coding chunked/,
  /^400 The Content-Length field/,
  /^413 /,
  /^417 /,
  /^400 The request line does not start with a method and one space/, // llhttp takes blank lines of its own kind
  /^400 The request line does not end in an HTTP version/,
  /^400 There are too many empty lines/,
  /^400 A header line starts with a blank/, // obs-fold of an unknown header
  /^400 A carriage return stands alone/,
  /^400 A header value holds a control character/,
  /^400 A chunk /, // bytes behind the head, which we take for the body that it announces
]

/** What we take on purpose and llhttp does not. */
const laxer = [
  /HTTP\/1\.[2-9]\r\n/, // RFC 9110 section 2.5: a higher minor version is served as 1.1
  /\r\ncontent-length:[ \t]*\d+ *\t[ \t]*\r\n/i, // RFC 9112 section 5.1: blanks behind a value, tabs too, are not of it
]

const seeds = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /a/b?c=d HTTP/1.1\r\nHost: a:80\r\nUser-Agent: someone\r\nContent-Length: 0\r\n\r\n',
  'PUT http://[::1]:8080/x HTTP/1.0\r\nConnection: keep-alive, x\r\nHost: b\r\nAccept: */*\r\n\r\n',
  'DELETE /%41 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
  'PATCH / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Blank:  \t \r\n\r\n',
]
const bytes = '\0\r\n\t :,;/?#@[]%=azAZ09\x7f\x80\xff_-"'

const mutation = fc.record({
  at: fc.nat(200),
  byte: fc.constantFrom(...bytes.split('')),
  kind: fc.constantFrom('insert', 'replace', 'remove'),
})

function mutate(seed: string, mutations: readonly { at: number; byte: string; kind: string }[]): string {
  return mutations.reduce((text, { at, byte, kind }) => {
    const place = at % text.length
    return (
      text.slice(0, place) +
      (kind === 'remove' ? '' : byte) +
      text.slice(kind === 'insert' ? place : place + 1)
    )
  }, seed)
}

function explained(head: string, ours: Seen): boolean {
  // The fields that frame the message are judged together, at the end of the head; llhttp stops at each.
  if (ours.outcome === 'partial') return true
  if (ours.outcome === 'refused') return stricter.some((rule) => rule.test(ours.problem ?? ''))
  return laxer.some((rule) => rule.test(head))
}

describe('the head parser beside llhttp', () => {
  it('gives the same answer, or differs on purpose (property)', { timeout: 120_000 }, async () => {
    const heads = fc.tuple(fc.constantFrom(...seeds), fc.array(mutation, { maxLength: 3 }))
    await fc.assert(
      fc.asyncProperty(heads, async ([seed, mutations]) => {
        const head = mutate(seed, mutations)
        const theirs = parseWithLlhttp(Buffer.from(head, 'latin1'))
        const ours = await parseWithOurs(head)
        if (ours.outcome !== theirs.outcome) {
          expect(
            explained(head, ours),
            `${JSON.stringify(head)}: ${ours.outcome} ${ours.problem ?? ''}, llhttp ${theirs.outcome}`,
          ).toBe(true)
          return
        }
        if (ours.outcome !== 'accepted' || ours.target === undefined) return
        expect(ours.target).toBe(theirs.target)
        expect(ours.headers).toEqual(theirs.headers)
        if (methods[theirs.method] !== undefined) expect(ours.method).toBe(methods[theirs.method])
      }),
      { numRuns: 3000 },
    )
  })
})
