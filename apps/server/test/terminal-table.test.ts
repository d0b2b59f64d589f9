import { expect, test } from 'vitest'
import { readableDuration, renderTable } from '../src/command-line/terminal-table.ts'

test('columns are as wide as their widest cell, numbers stand to the right', () => {
  const table = renderTable(
    [{ heading: 'PREFIX' }, { heading: 'N', isNumber: true }, { heading: 'MODULE' }],
    [
      ['/', '7', 'a'],
      ['/a/long/one', '1234', 'b'],
    ],
  )
  expect(table).toBe('PREFIX          N  MODULE\n/               7  a\n/a/long/one  1234  b\n')
})

test.each([
  [-5, '0 s'],
  [999, '0 s'],
  [61_000, '1 min 1 s'],
  [3_600_000, '1 h 0 min'],
  [90_061_000, '1 d 1 h'],
])('%i ms are %s', (milliseconds, text) => {
  expect(readableDuration(milliseconds)).toBe(text)
})
