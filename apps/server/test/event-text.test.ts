import fc from 'fast-check'
import { expect, test } from 'vitest'
import { commentText, eventText } from '../src/handlers/server-sent-events/event-text.ts'
import type { ServerSentEvent } from '../src/handlers/server-sent-events/event-text.ts'
import { ServerSentEvents } from '../src/index.ts'

test('an event has a line for each field, and one for each line of its data', () => {
  expect(eventText({ data: 'a' })).toBe('data: a\n\n')
  expect(eventText({ event: 'e', id: '1', retry: 5, data: 'a\nb\r\nc\rd\n' })).toBe(
    'event: e\nid: 1\nretry: 5\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n',
  )
  expect(eventText({ id: '' })).toBe('id: \n\n')
  expect(commentText('')).toBe(': \n\n')
  expect(commentText('a\nb')).toBe(': a\n: b\n\n')
})

test('what would be another event is refused', () => {
  for (const event of [
    { event: 'a\nb' },
    { id: 'a\rb' },
    { id: 'a\0' },
    { retry: -1 },
    { retry: 1.5 },
    { name: 'a' },
    {},
  ]) {
    expect(() => eventText(event as ServerSentEvent)).toThrow(TypeError)
  }
})

/** The parser of HTML, 9.2.6, for one event. */
function parsed(text: string): { data: string[]; fields: Map<string, string> } {
  const data: string[] = []
  const fields = new Map<string, string>()
  for (const line of text.split(/\r\n|\r|\n/u)) {
    if (line === '' || line.startsWith(':')) continue
    const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/su.exec(line) ?? []
    if (name === 'data') data.push(value)
    else fields.set(name, value)
  }
  return { data, fields }
}

test('any text arrives as it was sent, but for the kind of its line breaks', () => {
  const single = fc.string({ unit: 'binary' }).filter((text) => !/[\r\n\0]/u.test(text))
  const any = fc.string({ unit: fc.constantFrom('a', ':', ' ', '\n', '\r', '\0', 'ä', 'data: ') })
  fc.assert(
    fc.property(any, single, single, fc.nat(), (data, event, id, retry) => {
      const text = eventText({ data, event, id, retry })
      expect(text.split('\n\n').filter((part) => part !== '')).toHaveLength(1)
      const read = parsed(text)
      expect(read.data.join('\n')).toBe(data.replaceAll(/\r\n|\r/gu, '\n'))
      expect([read.fields.get('event'), read.fields.get('id')]).toEqual([event, id])
      expect(read.fields.get('retry')).toBe(String(retry))
    }),
  )
})

test('unknown and impossible options of a stream are refused', () => {
  for (const options of [{ heartbeat: -1 }, { heartbeat: 2 ** 31 }, { limit: 0 }, { ping: 1 }]) {
    expect(() => new ServerSentEvents(options)).toThrow(TypeError)
  }
})

test('a stream whose signal was aborted before is over', async () => {
  const events = new ServerSentEvents({ signal: AbortSignal.abort() })
  expect(events.closed.aborted).toBe(true)
  expect(await events.send({ data: 'a' })).toBe(false)
})
