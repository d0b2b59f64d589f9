import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { threadId, Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { createDoor, DOOR_PRIVATE, openDoor, openDoorSync, type ServerCreation } from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { newPoolDoor, procedure } from './fixtures/doors.ts'
import { Fifo } from './fixtures/fifo.ts'

const text = async (answer: Promise<{ data: Buffer }>): Promise<string> => (await answer).data.toString()

describe('a pool of server threads', () => {
  test('runs the procedures of modules, not in this thread', async () => {
    const { client } = await newPoolDoor('default')
    const thread = Number(await text(client.call()))
    expect(thread).toBeGreaterThan(0)
    expect(thread).not.toBe(threadId)
  })

  test.each([0, 1, 65_536, 65_537, 2 ** 20])('39: %i bytes arrive, and come back', async (size) => {
    const { client } = await newPoolDoor('echo')
    const data = Buffer.alloc(size, 7)
    expect((await client.call(data)).data.equals(data)).toBe(true)
    expect(client.callSync(data).data.equals(data)).toBe(true)
  })

  test('61: a blocking call of this very process is served by another thread', async () => {
    const { path } = await newPoolDoor('default')
    expect(Number(own(openDoorSync(path)).callSync().data.toString())).not.toBe(threadId)
  })

  test('95, 96: grows to as many threads as there are blocking calls, each in one of its own', async () => {
    const { client } = await newPoolDoor('block', { threads: { max: 4 } })
    const fifos = Array.from({ length: 4 }, () => new Fifo())
    const answers = fifos.map((fifo) => text(client.call(fifo.path)))
    await Promise.all(fifos.map((fifo) => fifo.reader()))
    for (const fifo of fifos) await fifo.release()
    const threads = (await Promise.all(answers)).map((answer) => answer.split(' ')[0])
    expect(new Set(threads).size).toBe(4)
    expect(threads).not.toContain(String(threadId))
  })

  test('95: so does the pool that all doors share', async () => {
    const { client } = await newPoolDoor('block')
    const fifos = Array.from({ length: 3 }, () => new Fifo())
    const answers = fifos.map((fifo) => text(client.call(fifo.path)))
    await Promise.all(fifos.map((fifo) => fifo.reader()))
    for (const fifo of fifos) await fifo.release()
    expect(new Set((await Promise.all(answers)).map((answer) => answer.split(' ')[0])).size).toBe(3)
  })

  test('95: has threads also where node was given flags that are for a whole process', async () => {
    const path = join(newFolder(), 'door')
    const calculator = fileURLToPath(new URL('../examples/calculator.js', import.meta.url))
    const args = ['--max-old-space-size=300', calculator, 'serve', path]
    const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await once(server.stdout, 'data')
      const client = own(await openDoor(path))
      expect(await text(client.call('add 2 3', { timeout: 10_000 }))).toBe('5')
    } finally {
      server.kill()
    }
  })

  test('97: at its bound, callers wait until a thread is free', async () => {
    const { client } = await newPoolDoor('block', { threads: { max: 1 } })
    const [one, two] = [new Fifo(), new Fifo()]
    const first = text(client.call(one.path))
    await one.reader()
    const second = text(client.call(two.path))
    await one.release()
    const [thread] = (await first).split(' ')
    await two.release('late')
    expect(await second).toBe(`${thread} late`)
  })

  test('98: a private door is served by threads of its own only; without any, calls wait for one', async () => {
    const shared = await newPoolDoor('default')
    await shared.client.call()
    const { client, door } = await newPoolDoor('default', { threads: { min: 0, max: 2 } })
    expect(door.info().attributes & DOOR_PRIVATE).toBe(DOOR_PRIVATE)
    let answered = false
    const answer = text(client.call()).finally(() => (answered = true))
    await shared.client.call()
    expect(answered).toBe(false)
    await door.addThread()
    expect(await answer).not.toBe(await text(shared.client.call()))
  })

  test('98: there are no more threads than may be: EAGAIN; a door without threads has none to add: EINVAL', async () => {
    const { door } = await newPoolDoor('default', { threads: { max: 1 } })
    expect(await codeOf(() => door.addThread())).toBe('EAGAIN')
    expect(await codeOf(() => own(createDoor(() => 'x')).addThread())).toBe('EINVAL')
  })

  test('99: a private pool whose threads are all busy keeps no other door from being served', async () => {
    const busy = await newPoolDoor('block', { threads: { max: 1 } })
    const shared = await newPoolDoor('default')
    const fifo = new Fifo()
    const blocked = busy.client.call(fifo.path)
    await fifo.reader()
    expect(Number(await text(shared.client.call()))).toBeGreaterThan(0)
    await fifo.release()
    await blocked
  })

  test('101: a thread that is bound to a door knows which; one of a shared pool is bound to none: EBADF', async () => {
    const bound = await newPoolDoor('which', { private: true })
    const shared = await newPoolDoor('which')
    expect(await text(bound.client.call())).toBe(String(bound.door.info().uniquifier))
    expect(await text(shared.client.call())).toBe('EBADF')
  })

  test('62: procedures that call doors, their own among them, each in another thread', async () => {
    const a = await newPoolDoor('descend')
    const b = await newPoolDoor('descend', { private: true })
    const way = [b.path, a.path, b.path, a.path].join(' ')
    expect(await text(a.client.call(way))).toBe('4')
  })

  test('one pool serves several doors, and any thread any client', async () => {
    const one = await newPoolDoor('echo')
    const other = await newPoolDoor('cookie', { cookie: 'mine' })
    expect(await text(one.client.call('x'))).toBe('x')
    expect(await text(other.client.call())).toBe('"mine"')
    const clients = await Promise.all([one.path, other.path, one.path].map((path) => openDoor(path)))
    const answers = await Promise.all(clients.map((client) => text(own(client).call('y'))))
    expect(answers).toEqual(['y', '"mine"', 'y'])
  })

  test('18: a cookie is cloned for its threads; one that cannot be is EINVAL', async () => {
    const { client } = await newPoolDoor('cookie', { cookie: { list: [1, 'two'] } })
    expect(await text(client.call())).toBe('{"list":[1,"two"]}')
    expect(await codeOf(() => createDoor(procedure('cookie'), { cookie: () => 1 }))).toBe('EINVAL')
  })

  test.each([
    ['a function with threads', () => createDoor(() => 'x', { threads: { max: 2 } })],
    ['a function that is to be private', () => createDoor(() => 'x', { private: true })],
    [
      'fewer threads at most than at least',
      () => createDoor(procedure('echo'), { threads: { min: 2, max: 1 } }),
    ],
    [
      'an unknown option of threads',
      () => createDoor(procedure('echo'), { threads: { grow: false } as never }),
    ],
    ['threads that are a number', () => createDoor(procedure('echo'), { threads: 5 as never })],
    ['options that are null', () => createDoor(procedure('echo'), null as never)],
    ['no module', () => createDoor({ module: '' })],
    ['an export that is no name', () => createDoor({ module: 'x', export: 1 as never })],
  ])('2: %s is EINVAL, and nothing was made', async (_, create) => {
    const before = countOpen()
    expect(await codeOf(create)).toBe('EINVAL')
    // Threads of the tests before may be beginning yet, and ending.
    await until(() => countOpen() <= before)
  })

  test('5: NO_DEPLETION_CB is for xcreateDoor: EINVAL', async () => {
    expect(await codeOf(() => createDoor(procedure('echo'), { threads: { grow: true } as never }))).toBe(
      'EINVAL',
    )
  })

  test('57: what a procedure throws is EREMOTEIO; so is a module that has no such procedure', async () => {
    const { client } = await newPoolDoor('fail')
    await expect(client.call()).rejects.toThrow(/EREMOTEIO.*out of paper/)
    const none = await newPoolDoor('notAFunction')
    await expect(none.client.call()).rejects.toThrow(/EREMOTEIO.*exports no function named notAFunction/)
    const missing = own(createDoor(new URL('missing.js', import.meta.url)))
    const path = join(newFolder(), 'door')
    missing.attach(path)
    await expect(own(await openDoor(path)).call()).rejects.toThrow(/EREMOTEIO.*missing\.js/)
  })

  test('63: who calls is known in every thread', async () => {
    const { client } = await newPoolDoor('caller')
    expect(JSON.parse(await text(client.call()))).toEqual({ pid: process.pid, uid: process.getuid?.() })
  })

  test('87: a server thread that ends costs its own caller only: EINTR; the door stays', async () => {
    const { client, path } = await newPoolDoor('exit', { threads: { min: 3, max: 3 } })
    const other = own(await openDoor(path))
    expect(await codeOf(() => client.call())).toBe('EINTR')
    expect(await codeOf(() => other.callSync())).toBe('EINTR')
    expect(await codeOf(() => client.call())).toBe('EINTR')
  })

  test('87: calls in other threads go on, also those of the same client', async () => {
    const blocking = await newPoolDoor('block')
    const ending = await newPoolDoor('exit')
    const fifo = new Fifo()
    const blocked = text(blocking.client.call(fifo.path))
    await fifo.reader()
    expect(await codeOf(() => ending.client.call())).toBe('EINTR')
    await fifo.release('still here')
    expect(await blocked).toContain('still here')
  })

  test('87: the session of a call that has ended its thread goes on, in the next one', async () => {
    const { path } = await newPoolDoor('exitOr', { threads: { max: 1 } })
    const child = newChild(
      `const door = openDoorSync(path)
      const code = (data) => { try { return String(door.callSync(data).data) } catch (error) { return error.code } }
      const untilServed = (answer) => (answer === 'EINTR' ? untilServed(code('again')) : answer)
      for (let time = 0; time < 5; time++) print(code('exit') + ' ' + untilServed(code('again')))`,
      path,
    )
    for (let time = 0; time < 5; time++) expect(await child.next()).toBe('EINTR again')
  })

  test('87: threads that end as soon as they serve, or before, keep no call waiting', async () => {
    let made = 0
    const create: ServerCreation = ({ handle }) => {
      const fixture = new URL('fixtures/bound.js', import.meta.url)
      const worker = new Worker(fixture, { workerData: handle })
      if (++made === 1) void worker.terminate()
      // It has taken the call by then, or not.
      else if (made < 5) worker.once('message', () => void worker.terminate())
      worker.unref()
      return worker
    }
    const { client } = await newPoolDoor('echo', { threads: { max: 1, create } })
    while ((await codeOf(() => client.call('x'))) === 'EINTR');
    expect(await text(client.call('x'))).toBe('x')
  })

  test('83: a call that is given up while its thread imports the module does not run', async () => {
    const [gate, log] = ['gate', 'log'].map((name) => join(newFolder(), name)) as [string, string]
    const module = new URL(`fixtures/late.js?${String(new URLSearchParams({ gate, log }))}`, import.meta.url)
    const door = own(createDoor(module, { threads: { min: 2, max: 2 } }))
    const path = join(newFolder(), 'door')
    door.attach(path)
    const client = own(await openDoor(path))
    const controller = new AbortController()
    const call = client.call(log, { signal: controller.signal })
    await until(() => readLog(log) === 'imports\n')
    controller.abort()
    expect(await codeOf(() => call)).toBe('EINTR')
    // The other thread comes to this call after it has read that nobody waits for the first.
    const next = client.call()
    await until(() => readLog(log) === 'imports\nimports\n')
    writeFileSync(gate, '')
    expect(await text(next)).toBe('at once')
    // It waits for calls that run.
    await door.revoke()
    expect(readLog(log)).toBe('imports\nimports\n')
  })

  test('87: calls that wait are served when the thread ends before which they wait', async () => {
    const { client, path } = await newPoolDoor('blockAndExit', { threads: { max: 1 } })
    const other = own(await openDoor(path))
    await Promise.all([client.call(), other.call()])
    const fifo = new Fifo()
    // Of a thread that blocks: its session is in the hands of the thread that ends.
    const child = newChild(
      `const door = openDoorSync(path); print(await codeOf(() => door.callSync(${JSON.stringify(fifo.path)})))`,
      path,
    )
    await fifo.reader()
    const waiting = [other.call(), client.call()]
    await fifo.release()
    expect(await child.next()).toBe('EINTR')
    for (const call of waiting) expect((await call).data.toString()).toBe('alive')
  })

  test('87: a call of the same client that no thread has taken is not failed', async () => {
    const { client } = await newPoolDoor('blockAndExit', { threads: { max: 1 } })
    const fifo = new Fifo()
    const ending = client.call(fifo.path)
    await fifo.reader()
    const waiting = client.call()
    await fifo.release()
    expect(await codeOf(() => ending)).toBe('EINTR')
    expect((await waiting).data.toString()).toBe('alive')
  })

  test('81: a client that is killed aborts the signal of its call, in whatever thread it runs', async () => {
    const { path } = await newPoolDoor('untilCancelled', { threads: { min: 2, max: 2 } })
    const log = join(newFolder(), 'log')
    const child = newChild(
      `const door = await openDoor(path); door.call(${JSON.stringify(log)}); await line()`,
      path,
    )
    await until(() => readLog(log).includes('runs'))
    child.kill()
    await until(() => readLog(log).includes('EINTR'))
  })

  test('83: a caller that gives up gets EINTR, its procedure is told, and the next call is right', async () => {
    const { client } = await newPoolDoor('untilCancelled', { threads: { min: 2, max: 2 } })
    const log = join(newFolder(), 'log')
    const controller = new AbortController()
    const call = client.call(log, { signal: controller.signal })
    await until(() => readLog(log).includes('runs'))
    controller.abort()
    expect(await codeOf(() => call)).toBe('EINTR')
    await until(() => readLog(log).includes('EINTR'))
    expect(await text(client.call())).toBe('at once')
  })

  test.each([
    [true, 'aborted: true'],
    [false, 'aborted: false'],
  ])(
    '81, 82: a procedure that blocks finds out when it looks, but with DOOR_NO_CANCEL (cancel: %s)',
    async (cancel, seen) => {
      const { path } = await newPoolDoor('blockAndLook', { cancel })
      const fifo = new Fifo()
      const log = join(newFolder(), 'log')
      const child = newChild(`openDoorSync(path).callSync(${JSON.stringify(`${fifo.path} ${log}`)})`, path)
      await fifo.reader()
      child.kill()
      await child.exited
      await fifo.release()
      await until(() => readLog(log) === seen)
    },
  )

  test('85: a call that is given up before it was sent is EAGAIN: it has not run', async () => {
    const { client } = await newPoolDoor('block', { threads: { max: 1 } })
    const fifo = new Fifo()
    // 64 share a session, and one has a session of its own.
    const paths = [fifo.path, ...Array.from({ length: 64 }, () => '/dev/null')]
    const calls = paths.map((path) => client.call(path))
    await fifo.reader()
    const controller = new AbortController()
    const waiting = client.call('never', { signal: controller.signal })
    controller.abort()
    expect(await codeOf(() => waiting)).toBe('EAGAIN')
    await fifo.release()
    await Promise.all(calls)
  })

  test('89, 90: when it is revoked, calls that run end, and those that wait for a thread are EBADF', async () => {
    const { client, door } = await newPoolDoor('block', { threads: { max: 1 } })
    const [one, two] = [new Fifo(), new Fifo()]
    const running = text(client.call(one.path))
    await one.reader()
    const waiting = client.call(two.path)
    const revoked = door.revoke()
    expect(await codeOf(() => waiting)).toBe('EBADF')
    await one.release('complete')
    expect(await running).toContain('complete')
    await revoked
    expect(await codeOf(() => client.call())).toBe('EBADF')
  })

  test('89: a process that revokes its door lives until the calls that run have ended', async () => {
    const fifo = new Fifo()
    const path = join(newFolder(), 'door')
    const { module, export: name } = procedure('block')
    const threadFile = new URL('fixtures/bound.js', import.meta.url)
    const server = newChild(
      `const { setServerCreation } = await import('@x/doors')
       const { Worker } = await import('node:worker_threads')
       setServerCreation(({ handle }) => {
         const thread = new Worker(new URL('${threadFile.href}'), { workerData: handle, execArgv: [] })
         thread.unref()
         return thread
       })
       const door = createDoor({ module: ${JSON.stringify(module.href)}, export: '${name}' })
       door.attach(path)
       print('ready')
       await line()
       process.stdin.unref()
       await Promise.all([door.revoke(), print('revoking')])
       print('revoked')`,
      path,
    )
    expect(await server.next()).toBe('ready')
    const answer = text(own(await openDoor(path)).call(fifo.path))
    await fifo.reader()
    server.go()
    expect(await server.next()).toBe('revoking')
    await fifo.release('complete')
    expect(await answer).toContain('complete')
    expect(await server.next()).toBe('revoked')
  })

  test('69, 73: descriptors go to the thread, and come back from it', async () => {
    const { client } = await newPoolDoor('firstDescriptor')
    const { Fd } = await import('@x/fdpass')
    const file = own(Fd.open(new URL(import.meta.url).pathname, 0))
    const answer = own(await client.call('', { fds: [file] }))
    expect(answer.data.toString()).toContain('69, 73')
    expect(answer.fds).toHaveLength(1)
  })

  test('106: unreferenced is told after the calls that threads run, once', async () => {
    let told = 0
    const { client, door } = await newPoolDoor('block', {
      unref: 'once',
      onUnreferenced: () => told++,
    })
    const fifo = new Fifo()
    const running = client.call(fifo.path)
    await fifo.reader()
    door.detach()
    client.close()
    await running.catch(() => undefined)
    await until(() => door.references.total === 1)
    expect(told).toBe(0)
    await fifo.release()
    await until(() => told > 0)
    expect(told).toBe(1)
  })

  test('its threads end with its last door', async () => {
    const before = threadsOfProcess()
    const { client, door } = await newPoolDoor('default', { threads: { min: 2, max: 2 } })
    await client.call()
    await door.revoke()
    client.close()
    await until(() => threadsOfProcess() <= before)
  })
})

const readLog = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

const threadsOfProcess = (): number =>
  Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
