import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ServerProcess, handlerFile, runWithConfig } from './server-process.ts'

test('a port in use says who to look for', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('hello') }] })
  const config = { port: server.port, control: 'other.sock', mounts: [] }
  const { code, stderr } = await runWithConfig(JSON.stringify(config))
  expect(code).toBe(1)
  expect(stderr).toContain('EADDRINUSE')
  expect(stderr).toContain(`sport = :${server.port}`)
})

test.each([
  ['an unknown key', { prot: 8080 }, 'prot'],
  ['a bad port', { port: 99_999 }, 'port'],
  ['a missing module', { mounts: [{ prefix: '/', module: './none.js' }] }, 'none.js'],
])('%s is refused before anything listens, with file, key and remedy', async (_, config, named) => {
  const { code, stderr, stdout } = await runWithConfig(JSON.stringify(config))
  expect(code).toBe(1)
  expect(stderr).toContain('bad.json')
  expect(stderr).toContain(named)
  expect(stdout).not.toContain('serving')
})

test('a module without handle is refused', async () => {
  const file = `${process.env.TMPDIR ?? '/tmp'}/x-server-no-handle-${process.pid}.mjs`
  writeFileSync(file, 'export const handler = () => ({})\n')
  const { code, stderr } = await runWithConfig(JSON.stringify({ mounts: [{ prefix: '/', module: file }] }))
  expect(code).toBe(1)
  expect(stderr).toContain(file)
  expect(stderr).toContain('handle')
})
