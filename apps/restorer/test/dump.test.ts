import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { restorer } from './program.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** A shell with descriptors of its own, and a child of it. */
async function shell(folder: string): Promise<number> {
  writeFileSync(join(folder, 'log'), 'a line\n')
  const script = `exec 7<>${folder}/log 8>>${folder}/log; read line <&7; sleep 1000 & : > ready; wait`
  const child = spawn('sh', ['-c', script], {
    stdio: 'ignore',
    detached: true,
    cwd: folder,
  })
  const { pid } = child
  if (pid === undefined) throw new Error('sh did not start')
  onTestFinished(() => {
    process.kill(-pid, 'SIGKILL')
  })
  await vi.waitUntil(() => existsSync(join(folder, 'ready')))
  return pid
}

test('a dump of living processes is restored with what they have open', async () => {
  const folder = temporaryFolder()
  const pid = await shell(folder)
  const images = join(folder, 'images')
  expect(restorer('dump', String(pid), '--images', images)).toEqual({
    code: 0,
    err: '',
    out: expect.stringMatching(/^2 processes, \d+ descriptors in /u) as string,
  })
  expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^State:\tS/mu)
  const shown = restorer('show', images)
  expect(shown.err).toBe('')
  expect(shown.out).toMatch(new RegExp(`^${pid} sh +leads a session, in ${folder}`, 'u'))
  expect(shown.out).toMatch(
    new RegExp(`^│ +7 +file ${folder}/log +read, write; at byte 7; shared with `, 'mu'),
  )
  expect(shown.out).toMatch(new RegExp(`^│ +8 +file ${folder}/log +write; appends; shared with `, 'mu'))
  const { code, out, err } = restorer('restore', images, '--new-pids', '--hold')
  expect([code, err]).toEqual([0, ''])
  const restored = Number(new RegExp(`^${pid} is (\\d+)$`, 'mu').exec(out)?.[1])
  onTestFinished(() => {
    for (const [, each] of out.matchAll(/ is (\d+)$/gmu)) process.kill(Number(each), 'SIGKILL')
  })
  expect(readdirSync(`/proc/${restored}/fd`)).toEqual(readdirSync(`/proc/${pid}/fd`))
  expect(readlinkSync(`/proc/${restored}/fd/7`)).toBe(join(folder, 'log'))
  expect(readFileSync(`/proc/${restored}/fdinfo/7`, 'utf8')).toMatch(/^pos:\t7$/mu)
})

test('--json prints what was written', async () => {
  const folder = temporaryFolder()
  const pid = await shell(folder)
  const images = join(folder, 'images')
  const { code, out } = restorer('dump', String(pid), '--images', images, '--json')
  expect(code).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ images, processes: 2, warnings: [] })
})

test('a folder with something in it is refused, and so is a process that is not there', async () => {
  const folder = temporaryFolder()
  const pid = await shell(folder)
  mkdirSync(join(folder, 'full'))
  writeFileSync(join(folder, 'full/a'), '')
  expect(restorer('dump', String(pid), '--images', join(folder, 'full'))).toMatchObject({
    code: 3,
    out: '',
    err: expect.stringContaining('(folder-not-empty)') as string,
  })
  expect(restorer('dump', String(2 ** 31 - 1), '--images', join(folder, 'none'))).toMatchObject({
    code: 3,
    out: '',
    err: expect.stringContaining('(no-process)') as string,
  })
  expect(readdirSync(folder)).not.toContain('none')
})
