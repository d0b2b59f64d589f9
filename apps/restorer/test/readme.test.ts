import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { main } from './program.ts'
import { temporaryFolder } from './temporary-folder.ts'

const example = fileURLToPath(new URL('../examples/readme.sh', import.meta.url))

test('the example of the README is examples/readme.sh, and does what it says', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  expect(readme).toContain(`\`\`\`sh\n${readFileSync(example, 'utf8')}\`\`\`\n`)
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'bin'))
  const installed = join(folder, 'bin/restorer')
  writeFileSync(installed, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`)
  chmodSync(installed, 0o755)
  const { status, stdout, stderr } = spawnSync('sh', ['-e', example], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH ?? ''}` },
    timeout: 30_000,
  })
  expect([stderr.replace(/^restorer: warning: .*\n/gmu, ''), status]).toEqual(['', 0])
  const lineLength = (readFileSync('/etc/passwd', 'utf8').split('\n')[0] ?? '').length + 1
  expect(stdout).toContain('file /etc/passwd')
  expect(stdout).toMatch(/can be restored here: 1 process, \d+ descriptors\.\n/u)
  expect(stdout).toMatch(new RegExp(`pos:\\t${lineLength}\\n$`, 'u'))
  expect(readFileSync(join(folder, 'plan.svg'), 'utf8')).toContain('<svg ')
})
