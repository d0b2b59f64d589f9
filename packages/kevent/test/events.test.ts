import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, test } from 'vitest'
import { KQueue } from '../src/index.ts'

test('channels tell of the ends of a queue, each once', () => {
  const heard: unknown[] = []
  const names = ['created', 'attached', 'released', 'closed'].map((name) => `x.kevent.${name}`)
  const hear = (message: unknown, name: string | symbol): void => {
    heard.push([name, message])
  }
  for (const name of names) subscribe(name, hear)
  const first = new KQueue()
  const { kqueue } = first.share()
  const second = KQueue.attach(first.share())
  const [one, two] = [first.consumer, second.consumer]
  for (let time = 0; time < 2; time++) second.release()
  for (let time = 0; time < 2; time++) first.close()
  for (const name of names) unsubscribe(name, hear)
  expect(heard).toEqual([
    ['x.kevent.created', { kqueue, consumer: one }],
    ['x.kevent.attached', { kqueue, consumer: two }],
    ['x.kevent.released', { kqueue, consumer: two }],
    ['x.kevent.closed', { kqueue, consumer: one }],
  ])
})
