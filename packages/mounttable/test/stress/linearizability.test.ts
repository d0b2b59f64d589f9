import { describe, expect, test } from 'vitest'
import { checkHistory, findContradiction, type Kind, type Operation } from './linearizability.ts'
import { longestRun, runStress } from './run.ts'

/** One operation; 0 is nothing mounted. */
const at = (invoked: number, response: number, kind: Kind, value = 0): Operation => ({
  kind,
  value,
  invoked,
  response,
})

const accepts = (...history: Operation[]): void => {
  expect(findContradiction(history)).toBeUndefined()
}

const rejects = (stuck: Operation, ...history: Operation[]): void => {
  expect(findContradiction(history)).toEqual(stuck)
}

describe('75: the checker of histories accepts', () => {
  test('nothing, and what happens one after the other', () => {
    accepts()
    accepts(
      at(0, 1, 'lookup', 0),
      at(2, 3, 'mount', 7),
      at(4, 5, 'lookup', 7),
      at(6, 7, 'replace', 8),
      at(8, 9, 'lookup', 8),
      at(10, 11, 'unmount'),
      at(12, 13, 'lookup', 0),
      at(14, 15, 'mount', 9),
      at(16, 17, 'lookup', 9),
    )
  })

  test('either outcome of a lookup during a mount, a replace and an unmount', () => {
    for (const seen of [0, 7]) accepts(at(0, 9, 'mount', 7), at(1, 2, 'lookup', seen))
    for (const seen of [7, 8]) {
      accepts(at(0, 1, 'mount', 7), at(2, 9, 'replace', 8), at(3, 4, 'lookup', seen))
    }
    for (const seen of [7, 0]) accepts(at(0, 1, 'mount', 7), at(2, 9, 'unmount'), at(3, 4, 'lookup', seen))
  })

  test('lookups that overlap each other and see both sides of a replace', () => {
    accepts(
      at(0, 1, 'mount', 7),
      at(2, 20, 'replace', 8),
      at(3, 12, 'lookup', 8),
      at(4, 11, 'lookup', 7),
      at(5, 6, 'lookup', 7),
      at(13, 14, 'lookup', 8),
    )
  })

  test('a lookup that lasts over several changes and sees any one of them', () => {
    for (const seen of [0, 7, 8, 9]) {
      accepts(
        at(0, 20, 'lookup', seen),
        at(1, 2, 'mount', 7),
        at(3, 4, 'replace', 8),
        at(5, 6, 'unmount'),
        at(7, 8, 'mount', 9),
      )
    }
  })

  test('changes that overlap, in the one order that explains what was seen', () => {
    // The choice that comes first in time is the wrong one: the search has to go back.
    accepts(
      at(0, 1, 'mount', 1),
      at(2, 30, 'replace', 2),
      at(3, 31, 'replace', 3),
      at(4, 32, 'replace', 4),
      at(10, 11, 'lookup', 4),
      at(12, 13, 'lookup', 2),
      at(14, 15, 'lookup', 3),
      at(40, 41, 'lookup', 3),
    )
  })
})

describe('75: the checker of histories rejects', () => {
  test('a stale read: the old generation after replace() has returned', () => {
    const stale = at(4, 5, 'lookup', 7)
    rejects(stale, at(0, 1, 'mount', 7), at(2, 3, 'replace', 8), stale)
  })

  test('a step back: the new generation, and then the old one, during one replace', () => {
    const back = at(5, 6, 'lookup', 7)
    rejects(back, at(0, 1, 'mount', 7), at(2, 20, 'replace', 8), at(3, 4, 'lookup', 8), back)
  })

  test('a lost unmount', () => {
    const lost = at(4, 5, 'lookup', 7)
    rejects(lost, at(0, 1, 'mount', 7), at(2, 3, 'unmount'), lost)
  })

  test('a gap during replace', () => {
    const gap = at(3, 4, 'lookup', 0)
    rejects(gap, at(0, 1, 'mount', 7), at(2, 9, 'replace', 8), gap)
  })

  test('a miss after mount() has returned, and a hit before it was called', () => {
    const miss = at(2, 3, 'lookup', 0)
    rejects(miss, at(0, 1, 'mount', 7), miss)
    const early = at(0, 1, 'lookup', 7)
    rejects(early, early, at(2, 3, 'mount', 7))
  })

  test('a generation that nobody mounted', () => {
    const ghost = at(2, 3, 'lookup', 6)
    rejects(ghost, at(0, 1, 'mount', 7), ghost)
  })

  test('two lookups that see two overlapping changes in opposite orders', () => {
    const history = [
      at(0, 1, 'mount', 1),
      at(2, 30, 'replace', 2),
      at(3, 31, 'replace', 3),
      at(4, 5, 'lookup', 2),
      at(6, 7, 'lookup', 3),
      at(8, 9, 'lookup', 2),
    ]
    rejects(history.at(-1)!, ...history)
  })

  test('one wrong read among ten thousand right ones', () => {
    const history: Operation[] = [at(0, 1, 'mount', 1)]
    for (let generation = 2; generation < 1000; generation++) {
      const start = generation * 100
      history.push(at(start, start + 50, 'replace', generation))
      for (let read = 0; read < 10; read++) {
        history.push(at(start + 1 + read, start + 60 + read, 'lookup', generation - (read % 2)))
      }
    }
    accepts(...history)
    const stale = at(50_080, 50_081, 'lookup', 499)
    rejects(stale, ...history, stale)
  })
})

test('75: mount points are checked each for itself', () => {
  const verdicts = checkHistory({
    points: ['/a', 'h.example/a'],
    operations: [
      ['mount', 0, 1, 0, 1],
      ['lookup', 1, 0, 2, 3],
      ['lookup', 0, 1, 2, 3],
      ['mount', 1, 2, 4, 5],
      ['lookup', 1, 0, 6, 7],
    ],
  })
  expect(verdicts).toEqual([
    { point: '/a', operations: 2, linearizable: true },
    {
      point: 'h.example/a',
      operations: 3,
      linearizable: false,
      stuck: { kind: 'lookup', value: 0, invoked: 6, response: 7 },
    },
  ])
})

test(
  '75: a dense history, of every lookup from each standstill on, is linearizable',
  { timeout: longestRun(1) + 20_000 },
  async () => {
    const { history } = await runStress({ seconds: 1, args: ['--lookups', '0', '--record', '1'] })
    const verdicts = checkHistory(history)
    console.log(`linearizability: ${JSON.stringify(verdicts)}`)
    expect(verdicts.filter(({ linearizable }) => !linearizable)).toEqual([])
    expect(history.operations.length).toBeGreaterThan(1000)
  },
)
