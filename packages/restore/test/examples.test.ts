import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

const printed = (example: string): { status: number | null; stdout: string; stderr: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}examples/${example}`], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  return { status, stdout, stderr }
}

test('the first example of the README is examples/readme.js', () => {
  const readme = readFileSync(`${root}README.md`, 'utf8')
  expect(/```js\n(.*?)```/s.exec(readme)?.[1]).toBe(readFileSync(`${root}examples/readme.js`, 'utf8'))
})

test('readme.js: a process has its file again, where it stood', () => {
  const firstLine = readFileSync('/etc/passwd', 'utf8').split('\n')[0] ?? ''
  expect(printed('readme.js')).toEqual({
    status: 0,
    stderr: '',
    stdout: `descriptor 5 is /etc/passwd again\npos:\t${firstLine.length + 1}\n`,
  })
})

test('file-kind.js: a kind of one’s own, by the public contract', () => {
  expect(printed('file-kind.js')).toEqual({ status: 0, stderr: '', stdout: 'file-missing\ntrue true\n' })
})
