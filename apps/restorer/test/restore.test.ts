import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { FdType, FileEntrySchema, makeMessage } from '@x/restore/images'
import { family } from './family.ts'
import { main, restorer } from './program.ts'

/** Process ids by those in the images, as `restore --new-pids` prints them; the processes end with the test. */
function pidsOf(out: string): Map<number, number> {
  const pids = new Map(
    [...out.matchAll(/^(\d+) is (\d+)$/gmu)].map(([, image, pid]) => [Number(image), Number(pid)]),
  )
  onTestFinished(() => {
    for (const pid of pids.values()) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
  })
  return pids
}

function openIn(pid: number): Record<string, string> {
  const numbers = readdirSync(`/proc/${pid}/fd`).sort((one, other) => Number(one) - Number(other))
  return Object.fromEntries(numbers.map((fd) => [fd, readlinkSync(`/proc/${pid}/fd/${fd}`)]))
}

interface Event {
  readonly event: string
  readonly [field: string]: unknown
}

const eventsOf = (out: string): Event[] =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Event)

describe('--hold', () => {
  test('returns when all processes are there, with exactly the descriptors of the images', async () => {
    const { images, folder } = await family()
    const { code, out, err } = restorer('restore', images, '--new-pids', '--hold')
    const pids = pidsOf(out)
    expect([code, err, [...pids.keys()]]).toEqual([0, '', [4001, 4002]])
    const parent = pids.get(4001) ?? 0
    const child = pids.get(4002) ?? 0
    const log = join(folder, 'log')
    const pipe = openIn(child)[0]
    expect(pipe).toMatch(/^pipe:/u)
    expect(openIn(parent)).toEqual({
      0: '/dev/null',
      1: '/dev/null',
      2: log,
      5: pipe,
      9: 'anon_inode:[eventfd]',
    })
    expect(openIn(child)).toEqual({ 0: pipe, 2: log })
    expect(readFileSync(`/proc/${child}/status`, 'utf8')).toContain(`PPid:\t${parent}\n`)
    expect(readFileSync(`/proc/${parent}/fdinfo/9`, 'utf8')).toMatch(/eventfd-count: +7\n/u)
  })

  test('--json prints events, one a line', async () => {
    const { images } = await family()
    const { code, out } = restorer('restore', images, '--new-pids', '--hold', '--json')
    const events = eventsOf(out)
    const { processes } = events.at(-1) as unknown as { processes: { image: number; pid: number }[] }
    pidsOf(processes.map(({ image, pid }) => `${image} is ${pid}\n`).join(''))
    expect(code).toBe(0)
    expect(events[0]).toMatchObject({ event: 'plan', processes: 2, descriptors: 7 })
    expect(events.at(-1)).toMatchObject({ event: 'restored', processes: [{ image: 4001 }, { image: 4002 }] })
  })
})

describe('--exec', () => {
  test('programs have the descriptors, and learn which were close-on-exec', async () => {
    const { images, folder } = await family()
    const out = join(folder, 'out')
    const parent = `4001=sh -c 'echo "$XRESTORE_CLOEXEC" > ${out}; exec 5>&-'`
    const outcome = restorer(
      'restore',
      images,
      '--new-pids',
      '--foreground',
      '--exec',
      parent,
      '--exec',
      "4002=sh -c 'cat >&2'",
    )
    expect(outcome).toMatchObject({ code: 0, err: '' })
    expect(readFileSync(out, 'utf8')).toBe('5\n')
    // The child read what was in the pipe, and wrote where the log stood.
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('one line\nhello')
  })

  test('a process that is not in the images, and one without anything to become, are wrong uses', async () => {
    const { images } = await family()
    expect(restorer('restore', images, '--new-pids', '--hold', '--exec', '7=cat')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--exec: process 7 is not in the images; there are 4001, 4002') as string,
    })
    expect(restorer('restore', images, '--new-pids', '--exec', '4001=cat')).toMatchObject({
      code: 2,
      err: expect.stringContaining('say what becomes of process 4002') as string,
    })
    expect(restorer('restore', images, '--hold', '--exec', '4001=no-such-program')).toMatchObject({
      code: 2,
      err: expect.stringContaining('no-such-program is in no folder of PATH') as string,
    })
  })
})

test.each(['SIGTERM', 'SIGINT'] as const)('--foreground: %s ends the processes', async (signal) => {
  const { images } = await family()
  const child = spawn(
    process.execPath,
    [main, 'restore', images, '--new-pids', '--hold', '--foreground', '--json'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const events: Event[] = []
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as Event))
  await vi.waitUntil(() => events.some(({ event }) => event === 'restored'), { timeout: 20_000 })
  child.kill(signal)
  expect(await once(child, 'exit')).toEqual([0, null])
  expect(
    events
      .filter(({ event }) => event === 'ended')
      .map(({ image }) => image)
      .sort(),
  ).toEqual([4001, 4002])
})

describe('a restore that fails', () => {
  test('is refused with 3 before anything is begun', async () => {
    const { images, folder } = await family()
    rmSync(join(folder, 'log'))
    const { code, out, err } = restorer('restore', images, '--new-pids', '--hold', '--json')
    expect([code, err]).toEqual([3, ''])
    expect(eventsOf(out)).toMatchObject([
      { event: 'failed', code: 'EINVAL', problems: [{ reason: 'file-missing' }] },
    ])
  })

  test('says which file of which process failed at which stage, and leaves nothing', async () => {
    const fown = { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 }
    const O_DIRECTORY = 0o200000
    const { images, folder } = await family((set) => ({
      ...set,
      // No folder: the kernel refuses it when it is opened.
      files: set.files.map((file) =>
        file.id === 1
          ? makeMessage(FileEntrySchema, {
              type: FdType.REG,
              id: 1,
              reg: { id: 1, flags: O_DIRECTORY, pos: 0n, fown, name: '/dev/null' },
            })
          : file,
      ),
    }))
    writeFileSync(join(folder, 'log'), 'another\n')
    const { code, out, err } = restorer('restore', images, '--new-pids', '--hold')
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(
      /^restorer: file \/dev\/null, descriptor 0 of process 4001: openat: ENOTDIR, .*; that was in stage \d of \d \(op-failed\)$/mu,
    )
    expect(statSync(join(folder, 'log')).size).toBe(8)
  })
})
