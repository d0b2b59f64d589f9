import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { memfd } from '@x/fdpass'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDoor, DoorClient, DoorError, openDoor, type Reply } from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor, procedure } from './fixtures/doors.ts'

describe('call', () => {
  const sizes = [1, 2047, 2048, 2049, 8192, 16_384, 16_385, 65_536, 65_537, 200_000, 2 ** 20, 2 ** 24]
  test.each(sizes)('39: %i bytes arrive, and come back', async (size) => {
    const { client } = await newOpenDoor(echo)
    const data = randomBytes(size)
    const answer = await client.call(data)
    expect(answer.data.equals(data)).toBe(true)
  })

  test('39, 41: no bytes are null for the procedure, and may come back', async () => {
    const given: unknown[] = []
    const { client } = await newOpenDoor((data) => {
      given.push(data)
      return undefined
    })
    expect((await client.call()).data.length).toBe(0)
    expect((await client.call(Buffer.alloc(0))).data.length).toBe(0)
    expect(given).toEqual([null, null])
  })

  test('40: a reply has as many bytes as it has, whatever the limits of a call are', async () => {
    const { client } = await newOpenDoor((data) => Buffer.alloc(Number(data), 'x'), { dataMax: 10 })
    for (const size of [0, 1, 11, 524_288, 2 ** 21]) {
      expect((await client.call(String(size))).data.equals(Buffer.alloc(size, 'x'))).toBe(true)
    }
  })

  test('58: all values of a byte, and text, come through', async () => {
    const { client } = await newOpenDoor(echo)
    const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
    expect((await client.call(all)).data).toEqual(all)
    expect((await client.call('ä\0ö')).data.toString()).toBe('ä\0ö')
  })

  test('42: what looks like the data of an unreferenced call is none', async () => {
    let told = 0
    const { client } = await newOpenDoor(echo, { unref: 'multi', onUnreferenced: () => told++ })
    await client.call(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]))
    expect(told).toBe(0)
  })

  test('47: 64 at once give 64 right answers, in any order', async () => {
    const { client } = await newOpenDoor(async (data) => {
      // Some answer at once, and some one or two turns of the loop later.
      for (let turns = Number(data?.at(-1)) % 3; turns > 0; turns--) await new Promise(setImmediate)
      return data ?? undefined
    })
    const texts = Array.from({ length: 64 }, (_, n) => `call ${n}`)
    const answers = await Promise.all(texts.map(async (text) => (await client.call(text)).data.toString()))
    expect(answers).toEqual(texts)
  })

  test('47: those that run at once have sizes of all kinds, and descriptors', async () => {
    const { client } = await newOpenDoor((data, { fds }) => ({ data: data ?? '', fds: [...fds] }))
    const file = own(memfd('file', Buffer.from('inside')))
    const sizes = fc.oneof(fc.nat(300), fc.nat(70_000), fc.nat(3_000_000))
    const kinds = fc.array(fc.record({ size: sizes, fds: fc.constantFrom(0, 0, 1, 300) }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(kinds, async (calls) => {
        const answers = calls.map(async ({ size, fds }) => {
          const data = randomBytes(size)
          using answer = await client.call(data, { fds: Array.from({ length: fds }, () => file) })
          return answer.data.equals(data) && answer.fds.length === fds
        })
        expect(await Promise.all(answers)).toEqual(calls.map(() => true))
      }),
      { numRuns: 20 },
    )
  })

  test('54: a call that is the last thing that a process waits for keeps it alive, and no longer', async () => {
    const { path } = newDoor(async (data) => {
      await new Promise(setImmediate)
      return data ?? undefined
    })
    const child = newChild(
      `const client = await openDoor(path)
       print(String((await client.call('x')).data))
       print((await Promise.all(['y', 'z'].map((text) => client.call(text)))).map(({ data }) => data).join())`,
      path,
    )
    expect([await child.next(), await child.next()]).toEqual(['x', 'y,z'])
    expect(await child.exited).toEqual([0, null])
  })

  test('46: a thousand leave nothing behind', async () => {
    const { client } = await newOpenDoor(echo)
    await client.call('first')
    const before = countOpen()
    for (let n = 0; n < 1000; n++) expect((await client.call(`call ${n}`)).data.toString()).toBe(`call ${n}`)
    expect(countOpen()).toBe(before)
  })

  test('of two doors in turn are answered, though replies are found before the loop waits', async () => {
    const module = JSON.stringify(procedure('echo').module)
    const server = newChild(
      `const procedure = { module: new URL(${module}), export: 'echo' }
       for (const name of ['.a', '.b']) createDoor(procedure).attach(path + name)
       print('ready')`,
      join(newFolder(), 'door'),
    )
    expect(await server.next()).toBe('ready')
    // A process that nothing else wakes.
    const client = newChild(
      `const [one, other] = [await openDoor(path + '.a'), await openDoor(path + '.b')]
       const textOf = async (call) => String((await call).data)
       for (let n = 0; n < 200; n++) {
         const answer = textOf(one.call('a' + n))
         // Meanwhile the reply comes.
         other.callSync()
         if ((await answer) !== 'a' + n || (await textOf(other.call('b' + n))) !== 'b' + n) print('wrong')
       }
       print('all')`,
      server.path,
    )
    expect(await client.next()).toBe('all')
  })

  test('54: a call that waits for a place of those that were given up keeps the process alive', async () => {
    const running: (() => void)[] = []
    const { path } = newDoor(
      async (data) => {
        await new Promise<void>((resolve) => running.push(resolve))
        return data ?? undefined
      },
      { cancel: false },
    )
    const child = newChild(
      `import { setMaxListeners } from 'node:events'
       const client = await openDoor(path, { sharedMemory: false })
       const given = new AbortController()
       setMaxListeners(0, given.signal)
       const calls = Array.from({ length: 64 }, () => codeOf(() => client.call('x', { signal: given.signal })))
       const late = client.call('late')
       given.abort()
       await Promise.all(calls)
       process.once('beforeExit', () => print('has nothing to wait for'))
       print('given up')
       print(String((await late).data))`,
      path,
    )
    expect(await child.next()).toBe('given up')
    await until(() => running.length === 64)
    for (let turns = 0; turns < 100; turns++) await new Promise(setImmediate)
    for (const finish of running.splice(0)) finish()
    await until(() => running.length === 1)
    running[0]?.()
    expect(await child.next()).toBe('late')
    expect(await child.exited).toEqual([0, null])
  })

  test('61: of a door of this very thread works; a blocking one would wait for itself: EDEADLK', async () => {
    const { client } = await newOpenDoor(echo)
    expect((await client.call('x')).data.toString()).toBe('x')
    expect(await codeOf(() => client.callSync('x'))).toBe('EDEADLK')
  })

  test('57: what a procedure throws is EREMOTEIO, with its message', async () => {
    const { client } = await newOpenDoor(() => {
      throw new Error('out of paper')
    })
    await expect(client.call('x')).rejects.toThrow(/EREMOTEIO.*out of paper/)
    await expect(client.call('x')).rejects.toBeInstanceOf(DoorError)
  })

  test.each([
    ['an error that is no text', () => Promise.reject(Object.create(null) as Error)],
    ['descriptors that are none', () => ({ fds: [null as never] })],
  ])('57: %s fails its call, and nothing else', async (_, procedure) => {
    const { client } = await newOpenDoor((data) => (data === null ? 'fine' : procedure()))
    expect(await codeOf(() => client.call('x'))).toBe('EREMOTEIO')
    expect((await client.call()).data.toString()).toBe('fine')
  })

  test('a session whose descriptor has the number of one that has just ended is served', async () => {
    const [other, ended] = [await newOpenDoor(echo), await newOpenDoor(echo)]
    let call: Promise<unknown> | undefined
    const { client } = await newOpenDoor((data) => {
      if (data === null) return undefined
      void ended.door.revoke()
      call = other.client.call('x')
      return undefined
    })
    await ended.client.call()
    await client.call()
    // Both events are taken at once: the first one's knote is enabled after the second one's procedure.
    const answered = ended.client.call().catch(() => undefined)
    await Promise.all([answered, client.call('x')])
    await call
  })

  test.each([
    ['fewer bytes than DATA_MIN are ENOBUFS', { dataMin: 4 }, 'abc', 'ENOBUFS'],
    ['more bytes than DATA_MAX are ENOBUFS', { dataMax: 2 }, 'abc', 'ENOBUFS'],
  ])('49: %s, and nothing runs', async (_, options, data, code) => {
    let ran = 0
    const { client } = await newOpenDoor(() => {
      ran++
      return undefined
    }, options)
    expect(await codeOf(() => client.call(data))).toBe(code)
    expect(ran).toBe(0)
  })

  test('48: by threads of other processes that block, each gets its own answer', async () => {
    const { path } = newDoor(echo)
    const source = `const door = openDoorSync(path)
      const all = []
      for (let n = 0; n < 200; n++) all.push(door.callSync(process.pid + ' ' + n).data.toString() === process.pid + ' ' + n)
      print(String(all.every((right) => right)))`
    const children = [newChild(source, path), newChild(source, path), newChild(source, path)]
    expect(await Promise.all(children.map((child) => child.next()))).toEqual(['true', 'true', 'true'])
  })

  test('52: at its limits a call is let through', async () => {
    const { client } = await newOpenDoor((data, { fds }) => `${data?.length} ${fds.length}`, {
      dataMin: 2,
      dataMax: 4,
      descMax: 3,
    })
    for (const [data, count] of [
      ['ab', 0],
      ['abcd', 3],
    ] as const) {
      const fds = Array.from({ length: count }, () => 0)
      expect((await client.call(data, { fds })).data.toString()).toBe(`${data.length} ${count}`)
    }
    expect(await codeOf(() => client.call('abcde', { fds: [0, 0, 0, 0] }))).toBe('ENOBUFS')
    expect(await codeOf(() => client.call('abcd', { fds: [0, 0, 0, 0] }))).toBe('ENFILE')
  })

  test('62: in a circle of two servers, and of one by itself, ends', async () => {
    const { door, path } = newDoor(async (data) => {
      const count = Number(data)
      return count === 0 ? 'the end' : other.call(String(count - 1)).then((answer) => answer.data)
    })
    const server = newChild(
      `const back = await openDoor(path)
      const door = createDoor(async (data) => {
        const count = Number(data)
        return count === 0 ? 'the other end' : (await back.call(String(count - 1))).data
      })
      door.attach(path + '.other')
      print('ready')`,
      path,
    )
    expect(await server.next()).toBe('ready')
    const other = own(await openDoor(`${path}.other`))
    const client = own(await openDoor(path))
    expect((await client.call('10')).data.toString()).toBe('the end')
    expect((await client.call('11')).data.toString()).toBe('the other end')
    expect(door.references.opens).toBe(2)
    const mine = own(
      createDoor(async (data): Promise<Reply> => {
        const count = Number(data)
        return count === 0 ? 'my end' : itself.call(String(count - 1)).then((answer) => answer.data)
      }),
    )
    const itself = own(DoorClient.from(mine.descriptor()))
    expect((await itself.call('10')).data.toString()).toBe('my end')
  })

  test('81, 83: a call that is given up is EINTR, the procedure is told, and the next call works', async () => {
    const aborted: unknown[] = []
    let began = 0
    const { client } = await newOpenDoor(async (data, { signal }) => {
      if (data?.toString() === 'quick') return data
      began++
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
      })
      aborted.push((signal.reason as DoorError).code)
      return 'stale'
    })
    const controller = new AbortController()
    const call = codeOf(() => client.call('slow', { signal: controller.signal }))
    await until(() => began === 1)
    controller.abort()
    expect(await call).toBe('EINTR')
    const late = codeOf(() => client.call('slow', { timeout: 100 }))
    await until(() => began === 2)
    expect(await late).toBe('EINTR')
    expect((await client.call('quick')).data.toString()).toBe('quick')
    await until(() => aborted.length === 2)
    expect(aborted).toEqual(['EINTR', 'EINTR'])
  })

  test('82: with cancel: false a procedure runs to its end, undisturbed', async () => {
    let [ended, finish] = [false, (): void => undefined]
    const { client } = await newOpenDoor(
      async (data, { signal }) => {
        if (data?.toString() === 'next') return data
        await new Promise<void>((resolve) => (finish = resolve))
        ended = !signal.aborted
        return 'dropped'
      },
      { cancel: false },
    )
    expect(await codeOf(() => client.call('x', { timeout: 2 }))).toBe('EINTR')
    // What was said before this call has reached the server with it.
    expect((await client.call('next')).data.toString()).toBe('next')
    finish()
    await until(() => ended)
    expect((await client.call('next')).data.toString()).toBe('next')
  })

  test('81: a client that is killed ends what its call does', async () => {
    let [begun, ended] = [false, false]
    const { path } = newDoor(async (_, { signal }) => {
      begun = true
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
      })
      ended = true
    })
    const child = newChild(`openDoorSync(path).callSync('for ever')`, path)
    await until(() => begun)
    child.kill()
    await until(() => ended)
  })

  test('84: a client that is closed in its call is EINTR, and the procedure is told', async () => {
    const running: AbortSignal[] = []
    const { client } = await newOpenDoor((_, { signal }) => {
      running.push(signal)
      return new Promise<undefined>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve(undefined)
        })
      })
    })
    const calls = [codeOf(() => client.call('x')), codeOf(() => client.call('y'))]
    await until(() => running.length === 2)
    client.close()
    expect(await Promise.all(calls)).toEqual(['EINTR', 'EINTR'])
    await until(() => running.every((signal) => signal.aborted))
  })

  test('84: those that wait for a place are told too, however many they are', async () => {
    let running = 0
    const { client } = await newOpenDoor((_, { signal }) => {
      running++
      return new Promise<undefined>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve(undefined)
        })
      })
    })
    const calls = Array.from({ length: 300 }, () => codeOf(() => client.call('x')))
    await until(() => running === 65)
    client.close()
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['EINTR']))
    expect(running).toBe(65)
  })

  test('88: a reply that is there when its server exits is not lost to the call that finds that out', async () => {
    const server = newChild(
      `const door = createDoor((data) => String(data) === 'exit' ? process.exit() : data)
       door.attach(path)
       print('ready')`,
      join(newFolder(), 'door'),
    )
    expect(await server.next()).toBe('ready')
    const client = own(await openDoor(server.path, { sharedMemory: false }))
    expect((await client.call('before')).data.toString()).toBe('before')
    const answer = client.call('x')
    for (const text of ['y', 'z']) client.callSync(text)
    expect(await codeOf(() => client.callSync('exit'))).toBe('EINTR')
    const late = codeOf(() => client.call('late'))
    expect((await answer).data.toString()).toBe('x')
    expect(await late).toMatch(/^E(BADF|INTR)$/)
  })

  test('88, 94: a server that exits ends what runs in all its doors, and none is there any more', async () => {
    const server = newChild(
      `for (const name of ['.a', '.b']) {
        const door = createDoor((data) => { print('runs'); return new Promise(() => {}) })
        door.attach(path + name)
      }
      print('ready')
      await line()
      process.exit()`,
      join(newFolder(), 'door'),
    )
    expect(await server.next()).toBe('ready')
    const clients = [own(await openDoor(`${server.path}.a`)), own(await openDoor(`${server.path}.b`))]
    const calls = clients.map((client) => codeOf(() => client.call('x')))
    expect([await server.next(), await server.next()]).toEqual(['runs', 'runs'])
    server.go()
    expect(await Promise.all(calls)).toEqual(['EINTR', 'EINTR'])
    await server.exited
    for (const client of clients) {
      expect(await codeOf(() => client.call('x'))).toBe('EBADF')
      expect(client.info().target).toBe(server.process.pid)
    }
    expect(await codeOf(() => openDoor(`${server.path}.a`))).toBe('EBADF')
  })

  test('86: a server that is killed is EINTR for calls that run, and EBADF for the next', async () => {
    const { path } = newDoor(echo)
    const server = newChild(
      `const door = createDoor(() => { print('runs'); return new Promise(() => {}) }); door.attach(path + '.child'); print('ready')`,
      path,
    )
    await server.next()
    const client = own(await openDoor(`${path}.child`))
    const call = codeOf(() => client.call('x'))
    expect(await server.next()).toBe('runs')
    server.kill()
    expect(await call).toBe('EINTR')
    // The kernel closes the descriptors of a process one after the other.
    await expect.poll(() => codeOf(() => client.call('x'))).toBe('EBADF')
    await expect.poll(() => codeOf(() => openDoor(`${path}.child`))).toBe('EBADF')
  })

  test.each([[{ time: 5 }], [{ timeout: -1 }]])('with %j is EINVAL', async (options) => {
    const { client } = await newOpenDoor(echo)
    expect(await codeOf(() => client.call('x', options as never))).toBe('EINVAL')
    expect(await codeOf(() => client.call(5 as never))).toBe('EINVAL')
  })

  test.each([[5], [{ date: 'x' }], [{ data: 5 }], [true]])(
    '57: %j, which is no reply, fails its call',
    async (reply) => {
      const { client } = await newOpenDoor(() => reply as never)
      expect(await codeOf(() => client.call('x'))).toBe('EREMOTEIO')
    },
  )

  test('57: a thenable whose then throws fails its call', async () => {
    const thenable = {
      then: () => {
        throw new Error('no')
      },
    }
    const { client } = await newOpenDoor(() => thenable as never)
    await expect(client.call('x')).rejects.toThrow(/EREMOTEIO.*no/)
  })

  test('54, 125: on a closed door is EBADF; closing twice is fine', async () => {
    const { client } = await newOpenDoor(echo)
    client.close()
    client.close()
    expect(await codeOf(() => client.call('x'))).toBe('EBADF')
    expect(await codeOf(() => client.callSync('x'))).toBe('EBADF')
    expect(await codeOf(() => client.info())).toBe('EBADF')
  })
})
