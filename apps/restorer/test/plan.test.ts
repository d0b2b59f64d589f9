import { expect, test } from 'vitest'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { family } from './family.ts'
import { restorer } from './program.ts'

test('shows stages, and what each process opens, takes and waits for', async () => {
  const { images, folder } = await family()
  const { code, out, err } = restorer('plan', images, '--new-pids')
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^2 processes, 7 descriptors of 5 files, \d stages, \d+ operations\n/u)
  expect(out).toContain('Process 4002, child of 4001\n')
  expect(out).toMatch(new RegExp(`^ +\\d+ {2}inherits {2}2 +file ${folder}/log$`, 'mu'))
  expect(out).toMatch(/^ +process 4002: 0 pipe 77, read end +── restored ─▶ process 4001: pipe 77$/mu)
  expect(out).toContain('commit: all processes are here')
})

test('--json, --dot and --svg', async () => {
  const { images } = await family()
  const json = JSON.parse(restorer('plan', images, '--new-pids', '--json').out) as { steps: unknown[] }
  expect(json).toMatchObject({
    problems: [],
    warnings: [],
    processes: [{ pid: 4001 }, { pid: 4002, parent: 4001 }],
  })
  expect(json.steps).toContainEqual(
    expect.objectContaining({
      process: 4001,
      action: 'open',
      kind: 'eventfd',
      descriptors: [9],
      inCircle: false,
    }),
  )
  const dot = restorer('plan', images, '--new-pids', '--dot').out
  expect(dot).toMatch(/^digraph plan \{\n/u)
  const svg = restorer('plan', images, '--new-pids', '--svg').out
  expect(svg).toContain('<svg ')
  for (const text of ['process 4001', 'process 4002', 'eventfd that counts 7']) expect(svg).toContain(text)
})

test('what cannot be planned ends with 3 and its problems', async () => {
  const { images, folder } = await family()
  rmSync(join(folder, 'log'))
  expect(restorer('plan', images, '--new-pids')).toMatchObject({
    code: 3,
    out: '',
    err: expect.stringContaining('(file-missing)') as string,
  })
})
