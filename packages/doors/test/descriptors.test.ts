import { once } from 'node:events'
import { readFileSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Fd, FdSocket } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { createDoor, DoorClient, openDoor, release, type Reply } from '../src/index.ts'
import { newChild, withLimit } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newOpenDoor } from './fixtures/doors.ts'

const newFile = (text: string): Fd => {
  const path = join(newFolder(), 'file')
  writeFileSync(path, text)
  return own(Fd.open(path, 0))
}

describe('descriptors', () => {
  test('68: stay open where they come from, and are of the same open file', async () => {
    const { client } = await newOpenDoor((_, { fds }) => {
      const byte = Buffer.alloc(1)
      readSync(fds[0]!.fd, byte)
      return byte
    })
    const file = newFile('abc')
    expect((await client.call('', { fds: [file] })).data.toString()).toBe('a')
    expect((await client.call('', { fds: [file.fd] })).data.toString()).toBe('b')
    expect(readFileSync(file.fd, 'utf8')).toBe('c')
  })

  test('go with a call and come with its reply', async () => {
    const { client } = await newOpenDoor((_, { fds }) => ({
      data: fds.map((fd) => readFileSync(fd.fd, 'utf8')).join(),
      fds: [release(newFile('answer'))],
    }))
    const answer = own(await client.call('x', { fds: [newFile('one'), newFile('two')] }))
    expect(answer.data.toString()).toBe('one,two')
    expect(answer.fds.map((fd) => readFileSync(fd.fd, 'utf8'))).toEqual(['answer'])
  })

  test('80: are closed at the server when the procedure has ended, but those that it took', async () => {
    const taken: Fd[] = []
    const { client } = await newOpenDoor((_, { fds }) => {
      taken.push(own(Fd.from(fds[0]!.take())))
      return undefined
    })
    const file = newFile('mine')
    await client.call('x', { fds: [file, file] })
    const before = countOpen()
    await client.call('x', { fds: [file, file] })
    expect(countOpen()).toBe(before + 1)
    expect(readFileSync(taken[0]!.fd, 'utf8')).toBe('mine')
  })

  test.each([1, 253, 254, 1024])('79: %i in one call', async (count) => {
    const { client } = await newOpenDoor((_, { fds }) => String(fds.length))
    const file = newFile('x')
    const fds = Array.from({ length: count }, () => file)
    expect((await client.call('', { fds })).data.toString()).toBe(String(count))
  })

  test('72: of a reply stay open where they come from, unless they were released', async () => {
    const [kept, given] = [newFile('kept'), newFile('given')]
    const { client } = await newOpenDoor(() => ({ fds: [kept, release(given)] }))
    const answer = own(await client.call('x'))
    expect(answer.fds.map((fd) => readFileSync(fd.fd, 'utf8'))).toEqual(['kept', 'given'])
    expect([kept.fd === -1, given.fd === -1]).toEqual([false, true])
    for (const { fd } of answer.fds) {
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\t0*2[0-7]{6}$/m) // O_CLOEXEC
    }
  })

  test('72: that were released in a reply which nobody waits for are closed', async () => {
    const given = newFile('given')
    let [running, finish] = [false, (): void => undefined]
    const { client } = await newOpenDoor(async () => {
      running = true
      await new Promise<void>((resolve) => (finish = resolve))
      return { fds: [release(given)] }
    })
    const call = codeOf(() => client.call('x'))
    await until(() => running)
    client.close()
    expect(await call).toBe('EINTR')
    finish()
    await until(() => given.fd === -1)
  })

  test('69: a released one is closed here when it has gone', async () => {
    const { client } = await newOpenDoor(echo)
    const fd = newFile('x')
    await client.call('x', { fds: [release(fd)] })
    expect(fd.fd).toBe(-1)
  })

  test.each([
    ['of a door that refuses them are ENOTSUP', { refuseDescriptors: true }, 'ENOTSUP'],
    ['more than DESC_MAX are ENFILE', { descMax: 0 }, 'ENFILE'],
    ['and too few bytes come before that: ENOBUFS', { descMax: 0, dataMin: 100 }, 'ENOBUFS'],
  ])('50, 51, 70: %s, and nothing was released', async (_, options, code) => {
    let ran = 0
    const { client } = await newOpenDoor(() => {
      ran++
      return undefined
    }, options)
    const fd = newFile('x')
    expect(await codeOf(() => client.call('x', { fds: [release(fd)] }))).toBe(code)
    expect(readFileSync(fd.fd, 'utf8')).toBe('x')
    expect(ran).toBe(0)
  })

  test('70: of a call to a revoked door are the caller’s still: EBADF', async () => {
    const { door, client } = await newOpenDoor(echo)
    await client.call('x')
    await door.revoke()
    const fd = newFile('mine')
    expect(await codeOf(() => client.call('x', { fds: [release(fd)] }))).toBe('EBADF')
    expect(readFileSync(fd.fd, 'utf8')).toBe('mine')
  })

  test('71: that were released and have gone are closed, though the call is given up: EINTR', async () => {
    let running = false
    const { client } = await newOpenDoor((_, { signal }) => {
      running = true
      return new Promise<undefined>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve(undefined)
        })
      })
    })
    const fd = newFile('x')
    const controller = new AbortController()
    const call = codeOf(() => client.call('x', { fds: [release(fd)], signal: controller.signal }))
    await until(() => running)
    controller.abort()
    expect(await call).toBe('EINTR')
    expect(fd.fd).toBe(-1)
  })

  describe('that are released in a call for which the socket has no room at once', () => {
    const newStopped = async () => {
      const server = newChild(
        `createDoor(async (data) => {
           if (data === null) return
           print('runs')
           await line()
         }, { cancel: false }).attach(path)
         print('ready')`,
        join(newFolder(), 'door'),
      )
      expect(await server.next()).toBe('ready')
      const client = own(await openDoor(server.path, { sharedMemory: false }))
      await client.call()
      server.process.kill('SIGSTOP')
      const controller = new AbortController()
      const fd = own(newFile('inside'))
      const options = { fds: [release(fd)], signal: controller.signal }
      const call = codeOf(() => client.call(Buffer.alloc(2 ** 23), options))
      return { server, client, controller, fd, call }
    }

    test('69: are closed when they have gone, and not as late as the reply comes', async () => {
      const { server, fd, call } = await newStopped()
      expect(fd.fd).toBeGreaterThanOrEqual(0)
      server.process.kill('SIGCONT')
      expect(await server.next()).toBe('runs')
      await until(() => fd.fd < 0)
      server.go()
      expect(await call).toBe('no error')
    })

    test('71: are closed then, though the call was given up before: EINTR', async () => {
      const { server, controller, fd, call } = await newStopped()
      controller.abort()
      expect(await call).toBe('EINTR')
      expect(fd.fd).toBeGreaterThanOrEqual(0)
      server.process.kill('SIGCONT')
      expect(await server.next()).toBe('runs')
      await until(() => fd.fd < 0)
    })

    test('69, 86: stay open when the server goes before', async () => {
      const { server, fd, call } = await newStopped()
      server.kill()
      expect(await call).toBe('EINTR')
      expect(fd.fd).toBeGreaterThanOrEqual(0)
    })
  })

  test('53: with one that is none are EINVAL, and those that were to be released stay', async () => {
    const { client } = await newOpenDoor(echo)
    const [first, last] = [newFile('first'), newFile('last')]
    const fds = [release(first), 4_000_000, release(last)]
    expect(await codeOf(() => client.call('x', { fds }))).toBe('EINVAL')
    expect([first, last].map((fd) => readFileSync(fd.fd, 'utf8'))).toEqual(['first', 'last'])
    expect((await client.call('next')).data.toString()).toBe('next')
  })

  test('77: of a reply for which the client has no room are EMFILE; none is kept, and the next call works', async () => {
    const { path } = await newOpenDoor((data) =>
      data?.toString() === 'give' ? { fds: [newFile('a'), newFile('b'), newFile('c')].map(release) } : 'fine',
    )
    const child = newChild(
      `const door = await openDoor(path)
      for (const call of [(text) => door.call(text), (text) => door.callSync(text)]) {
        const count = () => fs.readdirSync('/proc/self/fd').length
        await call('warm')
        const before = count()
        const codes = new Set()
        for (let round = 0; round < 10; round++) {
          const spare = fill()
          fs.closeSync(spare.pop())
          codes.add(await codeOf(() => call('give')))
          for (const fd of spare) fs.closeSync(fd)
          print((await call('next')).data.toString())
        }
        // One more at most: what the thread waits with for all of its sockets is made at the first wait.
        print([...codes, count() <= before + 1].join())
      }`,
      path,
      withLimit(64),
    )
    for (let way = 0; way < 2; way++) {
      for (let round = 0; round < 10; round++) expect(await child.next()).toBe('fine')
      expect(await child.next()).toBe('EMFILE,true')
    }
  })

  test('78: of a call for which the server has no room are EMFILE for its caller, and nothing runs', async () => {
    const path = join(newFolder(), 'door')
    const server = newChild(
      `createDoor((data, { fds }) => 'ran with ' + fds.length).attach(path)
      print('ready')
      await line()
      const spare = fill()
      print('full')
      await line()
      for (const fd of spare) fs.closeSync(fd)
      print('empty')`,
      path,
      withLimit(64),
    )
    await server.next()
    const client = own(await openDoor(path))
    const fds = [newFile('x'), newFile('y')]
    expect((await client.call('x', { fds })).data.toString()).toBe('ran with 2')
    server.go()
    expect(await server.next()).toBe('full')
    expect(await codeOf(() => client.call('x', { fds }))).toBe('EMFILE')
    server.go()
    expect(await server.next()).toBe('empty')
    expect((await client.call('x', { fds })).data.toString()).toBe('ran with 2')
  })

  test('80: more than 1024 in a reply are E2BIG for its caller', async () => {
    const { client } = await newOpenDoor(() => ({ data: 'text', fds: Array.from({ length: 1025 }, () => 0) }))
    expect(await codeOf(() => client.call('x'))).toBe('E2BIG')
  })

  test('54, 73: DoorClient.from of a file is EBADF, and closes it', async () => {
    const file = newFile('x')
    expect(await codeOf(() => DoorClient.from(file))).toBe('EBADF')
    expect(file.fd).toBe(-1)
  })

  test('53: one that is closed is EINVAL, and the others stay open', async () => {
    const { client } = await newOpenDoor(echo)
    const [good, bad] = [newFile('good'), newFile('bad')]
    bad.close()
    expect(await codeOf(() => client.call('x', { fds: [good, bad] }))).toBe('EINVAL')
    expect(readFileSync(good.fd, 'utf8')).toBe('good')
    expect((await client.call('next')).data.toString()).toBe('next')
  })

  test('a reply with one that is closed is EINVAL for the caller', async () => {
    const { client } = await newOpenDoor(() => ({ fds: [4_000_000] }))
    expect(await codeOf(() => client.call('x'))).toBe('EINVAL')
  })
})

describe('a worker that is terminated in a call', () => {
  test('46: closes the descriptors of a reply that comes at the same time', async () => {
    const workers: Worker[] = []
    const file = newFile('x')
    const { path } = await newOpenDoor(() => {
      for (const worker of workers) void worker.terminate()
      return { fds: [file, file, file] }
    })
    const before = countOpen()
    workers.push(new Worker(new URL('fixtures/worker-caller.js', import.meta.url), { workerData: path }))
    await once(workers[0]!, 'exit')
    await until(() => countOpen() <= before)
  })
})

describe('doors themselves', () => {
  test('74: one without a name is called by who has received it', async () => {
    const inner = own(createDoor((data) => `inner ${String(data)}`))
    const { client } = await newOpenDoor(() => ({ fds: [release(inner.descriptor())] }))
    const answer = await client.call('give')
    const received = own(DoorClient.from(answer.fds[0]!))
    expect((await received.call('x')).data.toString()).toBe('inner x')
    expect(received.info().uniquifier).toBe(inner.info().uniquifier)
  })

  test('73: say themselves that they are doors, and which', async () => {
    const { door, client } = await newOpenDoor((_, { fds }) => {
      const told = fds.map((fd) => {
        if (fd.kind !== 'unix-seqpacket') return fd.kind
        const received = own(DoorClient.from(fd.dup()))
        return String(received.info().uniquifier)
      })
      return told.join()
    })
    const [near, far] = FdSocket.pair({ type: 'stream' })
    const fds = [own(near), own(far)].map(({ fd }) => fd)
    const answer = await client.call('x', { fds: [newFile('x'), client.fd, ...fds] })
    expect(answer.data.toString()).toBe(`file,${door.info().uniquifier},unix-stream,unix-stream`)
  })

  test('76: give themselves, and are references like any other', async () => {
    const { door, client } = await newOpenDoor((): Reply => ({ fds: [release(door.descriptor())] }))
    const answer = await client.call('x')
    expect(door.references.opens).toBe(2)
    const again = own(DoorClient.from(answer.fds[0]!))
    client.close()
    const last = own(await again.call('x'))
    await until(() => door.references.opens === 2)
    again.close()
    await until(() => door.references.opens === 1)
    last.close()
    await until(() => door.references.opens === 0)
  })

  test('75, 113: an open that is passed on is the same reference, until the last copy has gone', async () => {
    const { door, client } = await newOpenDoor(echo)
    const { path } = await newOpenDoor(() => ({ fds: [client.fd] }))
    const child = newChild(
      `const answer = openDoorSync(path).callSync('x')
      const door = DoorClient.from(answer.fds[0])
      print(door.callSync('from the child').data.toString())
      await line()`,
      path,
    )
    expect(await child.next()).toBe('from the child')
    client.close()
    expect((await until(() => door.references.opens === 1), door.references.opens)).toBe(1)
    child.go()
    child.process.stdin?.end()
    await until(() => door.references.opens === 0)
  })

  test('33, 54: what is none is EBADF', async () => {
    expect(await codeOf(() => DoorClient.from(newFile('x')))).not.toBe('no error')
  })
})
