import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { newFolder } from './fixtures/folders.ts'

test('the code made from proto/ is up to date', () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const folder = newFolder()
  const bin = join(root, 'node_modules/.bin')
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` }
  execFileSync(join(bin, 'buf'), ['generate', '--output', folder], { cwd: root, env })
  const read = (path: string): Record<string, string> =>
    Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'utf8')]))
  const generated = 'src/images/generated'
  // If not: pnpm generate
  expect(read(join(root, generated))).toEqual(read(join(folder, generated)))
})
