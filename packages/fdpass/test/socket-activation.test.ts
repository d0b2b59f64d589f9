import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { FdSocket } from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { activate, freeAddress, Service } from './fixtures/service.ts'

test('the example answers by HTTP, and tells when it is ready', async () => {
  const { host, port } = await freeAddress()
  const folder = newFolder()
  const manager = own(FdSocket.bound(`${folder}/notify`))
  const example = ['examples/socket-activation.js']
  const args = ['-l', `${host}:${port}`, '--fdname=http', '-E', `NOTIFY_SOCKET=${folder}/notify`]
  const service = await activate(1, args, [process.execPath, ...example])
  const curl = Service.start(['curl', '--silent', '--show-error', `http://${host}:${port}/`])
  expect((await manager.recv())?.data.toString()).toBe('READY=1\nSTATUS=serving')
  expect(await curl.tells()).toEqual({ pid: service.pid })
  expect(await curl.ended).toEqual([0, null])
  process.kill(service.pid, 'SIGTERM')
  expect((await manager.recv())?.data.toString()).toBe('STOPPING=1')
  expect(await service.ended).toEqual([0, null])
})

test('the example has less than 30 lines', () => {
  const source = readFileSync(new URL('../examples/socket-activation.js', import.meta.url), 'utf8')
  expect(source.trimEnd().split('\n').length).toBeLessThan(30)
})
