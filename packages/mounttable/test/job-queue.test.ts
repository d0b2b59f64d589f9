import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const example = fileURLToPath(new URL('../examples/job-queue.js', import.meta.url))
const UNLOADED = /^(\S+) (v\d) is unloaded: (\d+) jobs done, (\d+) running$/

test('the example is a job queue of less than 80 lines', () => {
  expect(readFileSync(example, 'utf8').trimEnd().split('\n').length).toBeLessThan(80)
})

test('plug-ins of a job queue are swapped while jobs run: none is lost, old ones go after their last job', async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [example, '120'])
  expect(stderr).toBe('')
  const lines = stdout.trimEnd().split('\n')
  expect(lines.at(-1)).toBe('120 jobs, 0 lost')
  const unloaded = lines.slice(0, -1).map((line) => UNLOADED.exec(line)?.slice(1) ?? line)
  const names = unloaded.map(([prefix, version]) => `${prefix} ${version}`)
  expect([...names].sort()).toEqual(['/email v1', '/email v2', '/resize v1', '/resize v2'])
  // The old ones went while the queue was still running.
  expect(names.slice(0, 2).sort()).toEqual(['/email v1', '/resize v1'])
  expect(unloaded.map(([, , , running]) => running)).toEqual(['0', '0', '0', '0'])
  const done = Object.fromEntries(names.map((name, index) => [name, Number(unloaded[index]![2])]))
  expect(done['/email v1']! + done['/email v2']!).toBe(60)
  expect(done['/resize v1']! + done['/resize v2']!).toBe(60)
  for (const count of Object.values(done)) expect(count).toBeGreaterThan(0)
})
