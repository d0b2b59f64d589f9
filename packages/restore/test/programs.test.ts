import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { readImages } from '../src/images/index.ts'
import { notAlone, outcomeOf } from './fixtures/alone.ts'
import { Canonical } from './fixtures/canonical.ts'
import { folder } from './fixtures/folder.ts'
import { without } from './fixtures/target.ts'

const rights = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_DAC_READ_SEARCH')
const unable = rights === '' ? notAlone : rights

/** Why a program is left out; empty where it is there. */
const missing = (name: string, argument: string): string =>
  spawnSync(name, [argument]).error === undefined ? '' : ` (left out: there is no ${name})`

/** The program is dumped, ended and restored, in namespaces of its own; a second dump says what the first one does. */
const roundTrip = async (name: string): Promise<Record<string, unknown>> => {
  const path = folder()
  const seen = outcomeOf('program.js', name, path)
  expect(seen.problems).toBeUndefined()
  expect(seen.warnings).toEqual([])
  const [first, second] = await Promise.all(
    ['first', 'second'].map(async (each) => Canonical.of(await readImages(`${path}/${each}`))),
  )
  expect(second).toEqual(first)
  return seen
}

const served = {
  before: [
    expect.stringMatching(/^HTTP\/1.1 200 .*hello\n$/s),
    expect.stringMatching(/^HTTP\/1.1 200 /),
  ] as unknown[],
  queued: 'GET /second HTTP/1.1\r\nHost: here\r\n\r\n',
  answer: 'the answer\n',
  told: 'told\n',
  late: 'after\n',
  echoed: 'echo\n',
}

describe.skipIf(unable !== '')(`a program that is dumped and restored goes on${unable}`, () => {
  const nginx = missing('nginx', '-v')
  test.skipIf(nginx !== '')(`a prefork nginx: its connections and its listener${nginx}`, async () => {
    expect(await roundTrip('nginx')).toMatchObject({ ...served, processes: 3 })
  })

  test('x-server: its connections and its listener', async () => {
    expect(await roundTrip('x-server')).toMatchObject(served)
  })

  test('a pipeline of a shell: what is in its pipes', async () => {
    expect(await roundTrip('pipeline')).toMatchObject({
      processes: 4,
      queued: 'pear\napple\n',
      flows: 'more',
      sorted: 'sorted',
      inFifo: 'in the fifo\n',
      sink: 'done',
      ends: true,
    })
  })

  const tmux = missing('tmux', '-V')
  test.skipIf(tmux !== '')(`tmux: its terminal and its socket${tmux}`, async () => {
    expect(await roundTrip('tmux')).toMatchObject({
      processes: 2,
      typed: 'typed\n',
      echoed: 'typed\r\n',
      said: 'said\r\n',
      answer: 'to the socket',
    })
  })
})
