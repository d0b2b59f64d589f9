import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { family } from './family.ts'
import { restorer } from './program.ts'

test('says that images can be restored', async () => {
  const { images } = await family()
  expect(restorer('check', images, '--new-pids')).toEqual({
    code: 0,
    out: `${images} can be restored here: 2 processes, 7 descriptors.\n`,
    err: '',
  })
})

test('tells all that stands against it, with its place, and ends with 3', async () => {
  const { images, folder } = await family()
  rmSync(join(folder, 'log'))
  const { code, out, err } = restorer('check', images, '--new-pids', '--netns', 'no-such-namespace')
  expect([code, out]).toEqual([3, ''])
  expect(err).toMatch(
    /^restorer: files\.img, process 4001, descriptor 2: .*log is not there: .*\(file-missing\)$/mu,
  )
  expect(err).toMatch(/^restorer: .*no-such-namespace/mu)
})

test('--map says where files are now', async () => {
  const { images, folder } = await family()
  renameSync(join(folder, 'log'), join(folder, 'moved'))
  const map = `${join(folder, 'log')}=${join(folder, 'moved')}`
  expect(restorer('check', images, '--new-pids', '--map', map)).toMatchObject({ code: 0 })
})

test('--json prints the verdict, also of images that cannot be read', async () => {
  const { images } = await family()
  const { code, out } = restorer('check', images, '--new-pids', '--json')
  expect([code, JSON.parse(out)]).toEqual([0, { sound: true, images, problems: [], warnings: [] }])
  rmSync(join(images, 'inventory.img'))
  const refused = restorer('check', images, '--json')
  expect([refused.code, refused.err]).toEqual([3, ''])
  expect(JSON.parse(refused.out)).toMatchObject({ sound: false, problems: [{ reason: 'no-inventory' }] })
})
