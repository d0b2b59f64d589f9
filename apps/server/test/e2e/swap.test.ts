import { expect, test } from 'vitest'
import { Load } from './load.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

const hello = handlerFile('hello')

test('while requests run, a prefix and its neighbours are replaced, mounted and unmounted, and nobody notices', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/hit', module: hello }] })
  const load = new Load(server.port, '/hit', 16)
  for (let round = 0; round < 7; round++) {
    for (const command of [
      ['replace', '/hit', '--module', hello],
      ['mount', '/hit/next', '--module', hello],
      ['unmount', '/hit/next'],
    ]) {
      const { code, stderr } = await server.command(...command)
      expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' })
    }
  }
  const { statuses, broken } = await load.stop()
  expect(broken).toBe(0)
  expect([...statuses.keys()]).toEqual([200])
  expect(statuses.get(200)).toBeGreaterThan(300)
  const cleaned = server.log.filter(({ msg }) => msg === 'cleaned up').map(({ generation }) => generation)
  // 7 replaced and 7 unmounted: each generation once.
  expect(cleaned).toHaveLength(14)
  expect(new Set(cleaned).size).toBe(14)
}, 60_000)

test('requests in progress stay with the handler that was replaced, later ones get the new one', async () => {
  const options = { milliseconds: 300 }
  await using server = await ServerProcess.start({
    mounts: [{ prefix: '/slow', module: handlerFile('slow'), options }],
  })
  const before = fetch(server.url('/slow')).then((response) => response.text())
  await server.logged(({ msg }) => msg === 'begun')
  const { code } = await server.command('replace', '/slow', '--module', handlerFile('slow'))
  expect(code).toBe(0)
  expect(await before).toBe('generation 1')
  expect(await (await fetch(server.url('/slow'))).text()).toBe('generation 2')
})

test('a replacement that cannot be prepared changes nothing', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/hit', module: hello }] })
  const { code, stderr } = await server.command('replace', '/hit', '--module', handlerFile('missing'))
  expect(code).toBe(1)
  expect(stderr).toContain('missing.js')
  expect((await fetch(server.url('/hit'))).status).toBe(200)
})
