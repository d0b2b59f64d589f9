import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PieceQueue } from '../src/handlers/piece-queue.ts'

interface Told {
  drained: number
  finished: number
  gone: number
}

function queueOf(highWaterMark: number): [PieceQueue, Told] {
  const told = { drained: 0, finished: 0, gone: 0 }
  const owner = {
    drained: () => told.drained++,
    finished: () => told.finished++,
    gone: () => told.gone++,
  }
  return [new PieceQueue(owner, highWaterMark), told]
}

const bytes = (text: string): Buffer => Buffer.from(text)

test('what waits is taken together, and counts until the next piece is asked for', async () => {
  const [queue, told] = queueOf(4)
  const taken: string[] = []
  expect(queue.push(bytes('ab'), () => taken.push('ab'))).toBe(true)
  expect(queue.push(bytes('cd'), () => taken.push('cd'))).toBe(false)
  expect(await queue.next()).toEqual({ done: false, value: bytes('abcd') })
  expect([queue.size, queue.needsDrain, taken, told.drained]).toEqual([4, true, [], 0])
  const next = queue.next()
  expect([queue.size, queue.needsDrain, taken, told.drained]).toEqual([0, false, ['ab', 'cd'], 1])
  queue.end()
  expect(await next).toEqual({ done: true, value: undefined })
  expect(told).toEqual({ drained: 1, finished: 1, gone: 0 })
})

test('a reader that leaves, and a failure, are told to those whose pieces wait', async () => {
  for (const how of ['leaves', 'fails']) {
    const [queue, told] = queueOf(1)
    const errors: (string | undefined)[] = []
    queue.push(bytes('a'), (error) => errors.push(error?.message))
    await queue.next()
    queue.push(bytes('b'), (error) => errors.push(error?.message))
    if (how === 'leaves') await queue.return()
    else {
      queue.fail(new Error('broken'))
      await expect(queue.next()).rejects.toThrow('broken')
    }
    expect(errors).toEqual(
      how === 'leaves' ? ['The client is gone.', 'The client is gone.'] : [undefined, 'broken'],
    )
    expect(queue.push(bytes('c'))).toBe(false)
    expect(told.gone).toBe(how === 'leaves' ? 1 : 0)
  }
})

test('all bytes arrive in their order, whatever is written and asked for when', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.option(fc.uint8Array({ maxLength: 9 }))),
      fc.nat(20),
      async (steps, mark) => {
        const [queue, told] = queueOf(mark)
        const read: Uint8Array[] = []
        const reading = (async () => {
          for await (const piece of queue) read.push(piece)
        })()
        for (const step of steps) {
          if (step === null) await Promise.resolve()
          else queue.push(step)
        }
        queue.end()
        await reading
        expect(Buffer.concat(read)).toEqual(Buffer.concat(steps.filter((step) => step !== null)))
        expect([queue.size, told.finished, told.gone]).toEqual([0, 1, 0])
      },
    ),
  )
})
