import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { deepStrictEqual } from 'node:assert/strict'
import { afterEach, describe, expect, test } from 'vitest'
import { collect, RestoreError, type Problem } from '../src/index.ts'
import { readImages, writeImages, type ImageSet } from '../src/images/index.ts'
import { newFolder } from './fixtures/folders.ts'
import { View } from './fixtures/sets.ts'
import { Target, without } from './fixtures/target.ts'

const alone = without('CAP_SYS_PTRACE')
const all = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_DAC_READ_SEARCH')

const stateOf = (pid: number): string | undefined =>
  /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]

const reasonsOf = async (work: Promise<unknown>): Promise<string[]> => {
  const error: unknown = await work.catch((error: unknown) => error)
  expect(error).toBeInstanceOf(RestoreError)
  return (error as RestoreError).problems.map(({ reason }) => reason)
}

/** All that /proc tells of the descriptors of a process, but for the time that is left to timers. */
const tellOf = (pid: number): Record<string, string> =>
  Object.fromEntries(
    readdirSync(`/proc/${pid}/fd`).map((fd) => [
      fd,
      readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1').replace(/it_value: .*/, ''),
    ]),
  )

/** Without what belongs to the folder; bytes are bytes, whether in a Buffer or not. */
const content = ({ present, missing, ...set }: ImageSet): object => structuredClone(set)

describe('what is asked for', () => {
  test('has to be processes', async () => {
    expect(await reasonsOf(collect([]))).toEqual(['bad-pid'])
    expect(await reasonsOf(collect([0, 1.5]))).toEqual(['bad-pid', 'bad-pid'])
    expect(await reasonsOf(collect([0x7ffffffe]))).toEqual(['no-process'])
  })

  test('has to have options that are known', async () => {
    const bad = { stop: 'halt', lossy: 1, speed: 2 } as unknown as Parameters<typeof collect>[1]
    expect(await reasonsOf(collect([process.pid], bad))).toEqual(['bad-option', 'bad-option', 'bad-option'])
  })

  test('is neither this process nor an ancestor of it', async () => {
    expect(await reasonsOf(collect([process.pid]))).toEqual(['self'])
    expect(await reasonsOf(collect([process.ppid]))).toContain('self')
  })

  const kernel = readFileSync('/proc/2/stat', 'latin1').includes('(kthreadd)')
    ? ''
    : ' (left out: there is none to be seen)'
  test.skipIf(kernel !== '')(`is no thread of the kernel${kernel}`, async () => {
    expect(await reasonsOf(collect([2]))).toContain('kernel-thread')
  })

  test.skipIf(alone !== '')(`is named once, and lives${alone}`, async () => {
    const target = await Target.of('zombie')
    const [zombie = 0] = readFileSync(`/proc/${target.pid}/task/${target.pid}/children`, 'latin1')
      .trim()
      .split(' ')
      .map(Number)
    expect(await reasonsOf(collect([zombie]))).toEqual(['zombie'])
    expect(await reasonsOf(collect([target.pid, target.pid]))).toEqual(['named-twice'])
    const parent = await Target.of('sharing')
    const [child = 0] = readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, 'latin1')
      .trim()
      .split(' ')
      .map(Number)
    expect(await reasonsOf(collect([child, parent.pid]))).toEqual(['named-twice'])
    expect(await reasonsOf(collect([parent.pid, child]))).toEqual(['named-twice'])
    expect(stateOf(parent.pid)).toBe('S')
  })
})

describe.skipIf(alone !== '')(`the processes${alone}`, () => {
  const sleepers: ReturnType<typeof spawn>[] = []
  afterEach(() => {
    for (const sleeper of sleepers.splice(0)) sleeper.kill('SIGKILL')
  })

  test('run again when it is over, and stand if they stood', async () => {
    const target = await Target.of('sharing')
    const running = await collect([target.pid])
    expect(running.tasks[0]?.core?.tc?.taskState).toBe(1)
    expect(stateOf(target.pid)).toBe('S')
    process.kill(target.pid, 'SIGSTOP')
    await expect.poll(() => stateOf(target.pid)).toBe('T')
    const standing = await collect([target.pid])
    expect(standing.tasks.map(({ core }) => core?.tc?.taskState)).toEqual([3, 1, 1])
    expect(stateOf(target.pid)).toBe('T')
    expect(stateOf(standing.tasks[1]?.pstree.pid ?? 0)).toBe('S')
    process.kill(target.pid, 'SIGCONT')
  })

  test('run again also when they are refused', async () => {
    const target = await Target.of('datagram')
    expect(await reasonsOf(collect([target.pid]))).toEqual(['queue'])
    await expect.poll(() => stateOf(target.pid)).toBe('S')
  })

  test('are not stopped where that is not wanted', async () => {
    // A process that would tell that it has been stopped and goes on.
    const sleeper = spawn(
      process.execPath,
      ['-e', "process.on('SIGCONT', () => process.exit(7)); setInterval(() => {}, 1e6); console.log()"],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
    sleepers.push(sleeper)
    await once(sleeper.stdout, 'data')
    await collect([sleeper.pid ?? 0], { stop: 'none', external: true, lossy: true })
    expect(sleeper.exitCode).toBe(null)
    const ended = once(sleeper, 'exit')
    await collect([sleeper.pid ?? 0], { external: true, lossy: true })
    expect(await ended).toEqual([7, null])
  })

  test('waiting for them to stop ends with its signal', async () => {
    const target = await Target.of('sharing')
    await expect(collect([target.pid], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    })
    await expect.poll(() => stateOf(target.pid)).toBe('S')
  })

  test('with 2000 descriptors of one device', async () => {
    const target = await Target.of('many')
    const view = new View(await collect([target.pid]))
    expect(view.table()).toHaveLength(2005)
    expect(new Set(view.table().map(({ id }) => id)).size).toBe(2005)
  })
})

describe.skipIf(alone !== '')(`what is missing${alone}`, () => {
  test('is named where it gets lost', async () => {
    const target = await Target.of('lossy')
    const places = [
      { reason: 'packet-pipe', fd: 20 },
      { reason: 'lost-watch', fd: 76 },
    ]
    await expect(collect([target.pid])).rejects.toMatchObject({ problems: places })
    const warnings: Problem[] = []
    const view = new View(
      await collect([target.pid], { lossy: true, onWarning: (one) => warnings.push(one) }),
    )
    expect(warnings).toMatchObject(places)
    expect(view.file('epfd', 76).tfd).toMatchObject([{ tfd: 30, data: 2n }])
    expect(view.set.pipes).toMatchObject([{ entry: { bytes: 6 } }])
  })

  test('a name that is not UTF-8', async () => {
    const target = await Target.of('bad-name')
    await expect(collect([target.pid])).rejects.toMatchObject({ problems: [{ reason: 'not-text', fd: 3 }] })
  })

  test('room for the content of a file', async () => {
    const target = await Target.of('files')
    const error: unknown = await collect([target.pid], { contentLimit: 20 }).catch((error: unknown) => error)
    expect(error).toMatchObject({ problems: [{ reason: 'too-large' }, { reason: 'too-large' }] })
  })

  const root = process.getuid?.() === 0 ? '' : ' (left out: it needs root)'
  test.skipIf(root !== '')(`the right to look${root}`, async () => {
    const target = await Target.of('sharing')
    const script = `import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)})
      .then(({ collect }) => collect([${target.pid}], { stop: 'none' }))
      .catch(({ problems }) => console.log(problems.map(({ reason }) => reason).join()))`
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^not-permitted(,not-permitted)*\n$/)
  })
})

const scenarios = [
  'files',
  'pipes',
  'unix',
  'inet',
  'raw',
  'elsewhere',
  'events',
  'fanotify',
  'locks',
  'terminals',
  'sharing',
  'zombie',
]

describe.skipIf(all !== '')(`every table${all}`, () => {
  test.each(scenarios)('%s: leaves all as it was, and is read as it was written', async (scenario) => {
    const target = await Target.of(scenario)
    const options = { lossy: scenario === 'raw' }
    await collect([target.pid], options)
    const [before, ours] = [tellOf(target.pid), readdirSync('/proc/self/fd').length]
    const set = await collect([target.pid], options)
    expect(readdirSync('/proc/self/fd')).toHaveLength(ours)
    expect(tellOf(target.pid)).toEqual(before)
    const folder = join(newFolder(), 'images')
    await writeImages(folder, set)
    deepStrictEqual(content(await readImages(folder, { inline: 2 ** 24 })), content(set))
  })

  // crit's own decoder, on all images at once.
  const decode = `import sys
from pycriu import images
for name in sys.argv[1:]:
  with open(name, 'rb') as image: print(len(images.load(image)['entries']))`
  const run = (...images: string[]): ReturnType<typeof spawnSync> =>
    spawnSync('/usr/bin/python3', ['-c', decode, ...images], { encoding: 'utf8' })
  const crit = run().status === 0 ? '' : ' (left out: no crit, of the package criu)'
  test.skipIf(crit !== '')(`CRIU's decoder reads them${crit}`, async () => {
    const images: string[] = []
    for (const scenario of ['files', 'unix', 'events', 'terminals', 'inet', 'locks', 'fanotify']) {
      const target = await Target.of(scenario)
      const folder = join(newFolder(), 'images')
      await writeImages(folder, await collect([target.pid]))
      images.push(
        ...readdirSync(folder)
          .filter((name) => !name.startsWith('pages-'))
          .map((name) => join(folder, name)),
      )
    }
    const { stdout, stderr } = run(...images)
    expect(stderr).toBe('')
    const counts = String(stdout).trimEnd().split('\n').map(Number)
    expect(counts).toHaveLength(images.length)
    expect(Math.min(...counts)).toBeGreaterThan(0)
  })
})
