import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { EventSource } from 'undici'
import type { MessageEvent } from 'undici'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

let server: ServerProcess

beforeAll(async () => {
  server = await ServerProcess.start({
    workers: 1,
    mounts: [
      { prefix: '/events', module: handlerFile('events') },
      {
        prefix: '/counter',
        module: fileURLToPath(new URL('../../examples/server-sent-events.js', import.meta.url)),
        options: { interval: 5 },
      },
    ],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const state = async (): Promise<{ open: number; refused: number; sent?: number }> =>
  (await (await fetch(server.url('/events/state'))).json()) as {
    open: number
    refused: number
    sent?: number
  }

const next = async (source: EventSource, type = 'message'): Promise<MessageEvent> =>
  (await once(source as unknown as EventTarget, type))[0] as MessageEvent

test('a client gets events, comes back after the time that it was told, and says what it had last', async () => {
  const source = new EventSource(server.url('/events/few'))
  const [greeting, first] = await Promise.all([next(source, 'greeting'), next(source)])
  expect([greeting.data, greeting.lastEventId]).toEqual(['one\ntwo\nthree', 'n1'])
  expect(first.data).toBe('first time')
  expect((await next(source)).data).toBe('n1')
  source.close()
})

test('the example counts, and goes on where its client was', async () => {
  const source = new EventSource(server.url('/counter'))
  onTestFinished(() => {
    source.close()
  })
  const numbers: unknown[] = []
  source.onmessage = ({ data }) => numbers.push(data)
  await expect.poll(() => numbers.slice(0, 3)).toEqual(['1', '2', '3'])
  source.close()
  const headers = { 'last-event-id': '41' }
  const response = await fetch(server.url('/counter'), { headers })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('data: 43')) text += (await reader.read()).value ?? ''
  expect(text).toMatch(/^retry: 5\n\nid: 42\ndata: 42\n\nid: 43\n/u)
  await reader.cancel()
})

test('a quiet stream sends comments, by which it notices that its client has gone', async () => {
  await expect.poll(state).toMatchObject({ open: 0 })
  const connection = await Connection.open(server.port)
  connection.send('GET /events/quiet HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(await connection.until(/: \n\n[^]*: \n\n/u)).toMatch(/^content-type: text\/event-stream\r$/imu)
  expect((await state()).open).toBe(1)
  connection[Symbol.dispose]()
  await expect.poll(state).toMatchObject({ open: 0 })
  await expect.poll(() => server.references()).toEqual([0, 0])
})

test('who waits for a slow client sends as much as that takes', async () => {
  using connection = await Connection.open(server.port)
  connection.pause()
  connection.send('GET /events/waits HTTP/1.1\r\nHost: a\r\n\r\n')
  let sent = -1
  await expect
    .poll(async () => {
      const before = sent
      sent = (await state()).sent ?? 0
      return sent > 0 && sent === before
    })
    .toBe(true)
  connection.resume()
  await expect.poll(async () => (await state()).sent).toBeGreaterThan(sent)
})

test('who does not wait loses the client', async () => {
  const response = await fetch(server.url('/events/floods'))
  await expect(response.text()).rejects.toThrow()
  await expect.poll(async () => (await state()).refused).toBeGreaterThan(0)
  await server.logged(({ err }) => (err as Error | undefined)?.message.includes('left more than') === true)
})

test('a stream to HEAD is over at once', async () => {
  const response = await fetch(server.url('/events/quiet'), { method: 'HEAD' })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  await expect.poll(state).toMatchObject({ open: 0 })
})
