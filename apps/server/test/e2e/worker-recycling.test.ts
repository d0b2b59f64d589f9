import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ControlClient } from '../../src/control/control-client.ts'
import { parseExposition } from '../exposition-parser.ts'
import { TemporaryFolder } from '../temporary-folder.ts'
import { Connection } from './connection.ts'
import { Load } from './load.ts'
import { handlerFile, ServerProcess } from './server-process.ts'

const generations = handlerFile('generations')
const mounts = [{ prefix: '/', module: generations }]
/** A request whose handler waits for the second half of the body. */
const half = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf'

interface Answer {
  thread: number
  loaded: number
  generation: number
}

async function answer(connection: Connection): Promise<Answer> {
  const response = await connection.response()
  expect(response?.status).toBe(200)
  return JSON.parse(response?.body ?? '') as Answer
}

function ask(connection: Connection): Promise<Answer> {
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  return answer(connection)
}

async function replace(server: ServerProcess, module: string, times = 1): Promise<void> {
  const control = new ControlClient(server.control)
  for (let count = 0; count < times; count++) await control.replace({ prefix: '/', spec: { module } })
}

async function recycles(server: ServerProcess): Promise<number> {
  const answer = await fetch(server.url('/metrics'))
  return (
    parseExposition(await answer.text())
      .get('x_server_worker_recycles_total')
      ?.samples.get('{}') ?? NaN
  )
}

function threadsOf(pid: number): number {
  return Number(/^Threads:\s+(\d+)/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

function residentMegabytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

test('recycle: a module of 4 MiB that is replaced 80 times under load fails no request, and old code leaves the memory', async () => {
  using folder = new TemporaryFolder()
  const constant = `export const constant = '${'x'.repeat(2 ** 22)}'`
  const module = folder.write('big.mjs', `${readFileSync(generations, 'utf8')}\n${constant}\n`)
  const metrics = { prefix: '/metrics', module: 'builtin:metrics' }
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/', module }, metrics], recycle: 5 })
  using observer = await Connection.open(server.port)
  const load = new Load(server.port, '/', 4)
  const threads = new Set<number>()
  let mostLoaded = 0
  for (let round = 0; round < 40; round++) {
    await replace(server, module, 2)
    const { thread, loaded } = await ask(observer)
    threads.add(thread)
    mostLoaded = Math.max(mostLoaded, loaded)
  }
  expect(await recycles(server)).toBeGreaterThan(5)
  const { statuses, broken } = await load.stop()
  expect({ broken, statuses: [...statuses.keys()] }).toEqual({ broken: 0, statuses: [200] })
  expect(threads.size).toBeGreaterThan(3)
  // A few more than the limit are loaded while a new thread starts.
  expect(mostLoaded).toBeLessThan(30)
  // All generations of the two workers together would be 640 MiB of source alone.
  expect(residentMegabytes(server.pid)).toBeLessThan(450)
}, 60_000)

test('a thread that is renewed answers what it has in hand, leaves what waits behind it to the new one, and cleans up', async () => {
  await using server = await ServerProcess.start({ mounts, workers: 1, recycle: 1 })
  using connection = await Connection.open(server.port)
  const { thread: old } = await ask(connection)
  connection.send(half)
  await expect.poll(() => server.references()).toEqual([1])
  // Its old generation drains as long as the request lasts; another mount comes and goes meanwhile.
  const control = new ControlClient(server.control)
  await control.mount({ prefix: '/other', spec: { module: generations } })
  await control.unmount({ prefix: '/other' })
  await server.logged(({ msg }) => msg === 'a worker is renewed')
  const said = (what: string): number =>
    server.log.filter(({ msg, thread }) => msg === what && thread === old).length
  // It has left the mount table when it is asked to prepare nothing more, and takes no events then.
  await expect
    .poll(async () => {
      const before = said('begun')
      const { generation } = await control.mount({ prefix: '/other', spec: { module: generations } })
      await control.unmount({ prefix: '/other' })
      // Of all lines of that mount the last.
      await server.logged((entry) => entry.msg === 'cleaned up' && entry.generation === generation)
      return said('begun') - before
    })
    .toBe(0)
  using other = await Connection.open(server.port)
  const { thread: renewed } = await ask(other)
  expect(renewed).not.toBe(old)
  connection.send(`half${'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3)}`)
  expect((await answer(connection)).thread).toBe(old)
  for (let count = 0; count < 3; count++) expect((await answer(connection)).thread).toBe(renewed)
  await expect.poll(() => said('ended')).toBe(said('begun'))
  expect((await ask(connection)).thread).toBe(renewed)
  server.signal('SIGTERM')
  expect(await server.exited()).toBe(0)
  const counted = (what: string): number => server.log.filter(({ msg }) => msg === what).length
  expect(counted('ended')).toBe(counted('begun'))
})

test('a request that does not end keeps its old thread, which holds up nobody; its worker has no third one', async () => {
  await using server = await ServerProcess.start({ mounts, workers: 1, recycle: 1, timeouts: { drain: 100 } })
  using connection = await Connection.open(server.port)
  const { thread: old } = await ask(connection)
  connection.send(half)
  await expect.poll(() => server.references()).toEqual([1])
  const control = new ControlClient(server.control)
  const comeAndGo = async (): Promise<void> => {
    await control.mount({ prefix: '/other', spec: { module: generations } })
    await control.unmount({ prefix: '/other' })
  }
  await comeAndGo()
  await server.logged(({ msg }) => msg.startsWith('the thread that was renewed still has requests in hand'))
  const threads = threadsOf(server.pid)
  for (let count = 0; count < 3; count++) await comeAndGo()
  expect(threadsOf(server.pid)).toBe(threads)
  const renewals = (): number => server.log.filter(({ msg }) => msg === 'a worker is renewed').length
  expect(renewals()).toBe(1)
  connection.send('half')
  expect((await answer(connection)).thread).toBe(old)
  await expect.poll(() => threadsOf(server.pid)).toBeLessThan(threads)
  await comeAndGo()
  await expect.poll(renewals).toBe(2)
})

test('a worker whose successor cannot load the mounts serves on, and is renewed when that has been put right', async () => {
  using folder = new TemporaryFolder()
  const source = readFileSync(generations, 'utf8')
  const module = folder.write('changing.mjs', source)
  const also = [...mounts, { prefix: '/changing', module }]
  await using server = await ServerProcess.start({ mounts: also, workers: 1, recycle: 1 })
  using connection = await Connection.open(server.port)
  const { thread } = await ask(connection)
  folder.write('changing.mjs', 'export function handle( {')
  await replace(server, generations)
  const { level } = await server.logged(({ msg }) => msg === 'a worker could not be renewed; it serves on')
  expect(level).toBe(40)
  expect((await ask(connection)).thread).toBe(thread)
  folder.write('changing.mjs', source)
  await replace(server, generations)
  await server.logged(({ msg }) => msg === 'a worker is renewed')
  await expect.poll(async () => (await ask(connection)).thread).not.toBe(thread)
})

test('recycle: 0 renews nothing', async () => {
  await using server = await ServerProcess.start({ mounts, workers: 1, recycle: 0 })
  using connection = await Connection.open(server.port)
  const { thread, loaded } = await ask(connection)
  await replace(server, generations, 5)
  expect(await ask(connection)).toMatchObject({ thread, loaded: loaded + 5 })
})

test('while workers are renewed all the time, restarts and the death of a worker fail no other request', async () => {
  const faulty = { prefix: '/faulty', module: handlerFile('faulty') }
  const metrics = { prefix: '/metrics', module: 'builtin:metrics' }
  await using server = await ServerProcess.start({ mounts: [...mounts, faulty, metrics], recycle: 1 })
  const load = new Load(server.port, '/', 8)
  let before = 0
  for (let round = 0; round < 3; round++) {
    await replace(server, generations, 3)
    using victim = await Connection.open(server.port)
    expect((await victim.get('/faulty/exit'))?.status).toBe(500)
    await replace(server, generations, 2)
    await new ControlClient(server.control).restart()
    // Counted on in the new process.
    const now = await recycles(server)
    expect(now).toBeGreaterThan(before)
    before = now
  }
  const { statuses, broken } = await load.stop()
  // Of a thread that dies, what it had in hand is answered with 500, and its connection ends.
  expect(broken).toBe(0)
  expect([...statuses.keys()].filter((status) => status !== 500)).toEqual([200])
}, 60_000)
