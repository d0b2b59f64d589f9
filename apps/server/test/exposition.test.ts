import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { exposition } from '../src/metrics/exposition.ts'
import { ServedBefore, metricsBase } from '../src/metrics/metrics-base.ts'
import { ServerMemory } from '../src/worker/server-memory.ts'
import { parseExposition } from './exposition-parser.ts'

describe('the text format of Prometheus', () => {
  test('is written as its specification shows', () => {
    const labels = { path: 'C:\\DIR\\', error: 'Cannot find file:\n"FILE.TXT"' }
    const text = exposition([
      {
        name: 'a_total',
        type: 'counter',
        help: 'Back\\slash\nand a line.',
        samples: [{ labels, value: 1.5e9 }, { value: 3 }],
      },
      { name: 'none', type: 'gauge', help: 'Nothing.', samples: [] },
      { name: 'b', type: 'gauge', help: 'B.', samples: [{ value: Infinity }] },
    ])
    expect(text).toBe(
      [
        '# HELP a_total Back\\\\slash\\nand a line.',
        '# TYPE a_total counter',
        'a_total{path="C:\\\\DIR\\\\",error="Cannot find file:\\n\\"FILE.TXT\\""} 1500000000',
        'a_total 3',
        '# HELP b B.',
        '# TYPE b gauge',
        'b +Inf',
        '',
      ].join('\n'),
    )
    expect(parseExposition(text).get('a_total')?.samples.get(JSON.stringify(labels))).toBe(1.5e9)
  })

  test('has the series of a histogram, whose buckets rise', () => {
    const family = (counts: readonly number[]): string =>
      exposition([
        {
          name: 'h',
          type: 'histogram',
          help: 'H.',
          samples: [
            { suffix: '_bucket', labels: { le: '0.5' }, value: counts[0] ?? 0 },
            { suffix: '_bucket', labels: { le: '+Inf' }, value: counts[1] ?? 0 },
            { suffix: '_sum', value: 2.5 },
            { suffix: '_count', value: counts[2] ?? 0 },
          ],
        },
      ])
    expect(family([1, 3, 3])).toBe(
      '# HELP h H.\n# TYPE h histogram\nh_bucket{le="0.5"} 1\nh_bucket{le="+Inf"} 3\nh_sum 2.5\nh_count 3\n',
    )
    expect(
      parseExposition(family([1, 3, 3]))
        .get('h')
        ?.samples.get('_bucket{"le":"0.5"}'),
    ).toBe(1)
    expect(() => parseExposition(family([4, 3, 3]))).toThrow('does not rise')
    expect(() => parseExposition(family([1, 3, 4]))).toThrow('counts other')
  })

  test('carries any label and any number', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.double(), (value, number) => {
        const text = exposition([
          { name: 'a', type: 'gauge', help: 'A.', samples: [{ labels: { l: value }, value: number }] },
        ])
        const read = parseExposition(text)
          .get('a')
          ?.samples.get(JSON.stringify({ l: value }))
        expect(read).toEqual(number === 0 ? 0 : number)
      }),
    )
  })
})

describe('what counters begin with', () => {
  test('is in the totals and in no worker', () => {
    const memory = ServerMemory.create(2)
    memory.setEarlier({ requests: 40, gone: 1 })
    memory.stripe(2)[0] = 2
    expect(memory.counters()).toMatchObject({ requests: 42, 'worker.1.requests': 0, 'worker.2.requests': 2 })
    expect(ServerMemory.open(memory.buffer).counters()).toEqual(memory.counters())
    expect(memory.counters()).not.toHaveProperty('gone')
  })

  test('goes from process to process, so that nothing goes back', () => {
    const mounts = (served: number): { prefix: string; host: string | undefined; served: number }[] => [
      { prefix: '/', host: undefined, served },
      { prefix: '/', host: undefined, served },
      { prefix: '/', host: 'x.org', served: 1 },
    ]
    let base = metricsBase({}, [])
    for (let process = 1; process <= 3; process++) {
      const memory = ServerMemory.create(1)
      memory.setEarlier(base.counters)
      const before = new ServedBefore()
      before.set(base)
      memory.stripe(1)[0] = 10
      base = metricsBase(memory.counters(), before.added(mounts(5)))
      expect(base.counters.requests).toBe(10 * process)
      expect(base.mounts).toEqual([
        { prefix: '/', served: 5 * process },
        { prefix: '/', host: 'x.org', served: process },
      ])
    }
    expect(new ServedBefore().added(mounts(5))).toEqual(mounts(5))
  })
})
