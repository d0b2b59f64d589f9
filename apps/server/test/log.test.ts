import { pino } from 'pino'
import { expect, test } from 'vitest'
import { readableEntry } from '../src/log.ts'

function read(write: (log: ReturnType<typeof pino>) => void): string {
  let shown = ''
  const timestamp = (): string => ',"time":"2024-02-29T12:00:00.123Z"'
  write(
    pino(
      { base: { pid: 1 }, timestamp },
      {
        write(entry: string) {
          shown += readableEntry(entry)
        },
      },
    ),
  )
  return shown
}

test('an entry for people is one line with its fields', () => {
  const line = read((log) => {
    log.warn({ port: 80, name: 'a b', path: '/x', list: [1] }, 'listening')
  })
  expect(line).toBe('12:00:00.123 WARN  listening port=80 name="a b" path=/x list=[1]\n')
})

test('an error is followed by its stack, indented', () => {
  const lines = read((log) => {
    log.error({ err: new RangeError('too far') }, 'failed')
  }).split('\n')
  expect(lines[0]).toBe('12:00:00.123 ERROR failed')
  expect(lines[1]).toBe('    RangeError: too far')
  expect(lines[2]).toMatch(/^ {8}at /u)
})

test('an entry without a message is shown too', () => {
  expect(
    read((log) => {
      log.info({ a: 1 })
    }),
  ).toBe('12:00:00.123 INFO   a=1\n')
})
