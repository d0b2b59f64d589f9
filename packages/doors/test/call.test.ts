import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { DoorError, openDoor } from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor } from './fixtures/doors.ts'

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
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
      return data ?? undefined
    })
    const texts = Array.from({ length: 64 }, (_, n) => `call ${n}`)
    const answers = await Promise.all(texts.map(async (text) => (await client.call(text)).data.toString()))
    expect(answers).toEqual(texts)
  })

  test('46: a thousand leave nothing behind', async () => {
    const { client } = await newOpenDoor(echo)
    await client.call('first')
    const before = countOpen()
    for (let n = 0; n < 1000; n++) expect((await client.call(`call ${n}`)).data.toString()).toBe(`call ${n}`)
    expect(countOpen()).toBe(before)
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
    ['49: fewer bytes than DATA_MIN are ENOBUFS', { dataMin: 4 }, 'abc', 'ENOBUFS'],
    ['49: more bytes than DATA_MAX are ENOBUFS', { dataMax: 2 }, 'abc', 'ENOBUFS'],
  ])('%s, and nothing runs', async (_, options, data, code) => {
    let ran = 0
    const { client } = await newOpenDoor(() => {
      ran++
      return undefined
    }, options)
    expect(await codeOf(() => client.call(data))).toBe(code)
    expect(ran).toBe(0)
  })

  test('47: by threads of other processes that block, each gets its own answer', async () => {
    const { path } = newDoor(echo)
    const source = `const door = openDoorSync(path)
      const all = []
      for (let n = 0; n < 200; n++) all.push(door.callSync(process.pid + ' ' + n).data.toString() === process.pid + ' ' + n)
      print(String(all.every((right) => right)))`
    const children = [newChild(source, path), newChild(source, path), newChild(source, path)]
    expect(await Promise.all(children.map((child) => child.next()))).toEqual(['true', 'true', 'true'])
  })

  test('81, 83: a call that is given up is EINTR, the procedure is told, and the next call works', async () => {
    const aborted: unknown[] = []
    const { client } = await newOpenDoor(async (data, { signal }) => {
      if (data?.toString() === 'quick') return data
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
      })
      aborted.push((signal.reason as DoorError).code)
      return 'stale'
    })
    const controller = new AbortController()
    const call = client.call('slow', { signal: controller.signal })
    setImmediate(() => {
      controller.abort()
    })
    expect(await codeOf(() => call)).toBe('EINTR')
    expect(await codeOf(() => client.call('slow', { timeout: 5 }))).toBe('EINTR')
    expect((await client.call('quick')).data.toString()).toBe('quick')
    await until(() => aborted.length === 2)
    expect(aborted).toEqual(['EINTR', 'EINTR'])
  })

  test('82: with cancel: false a procedure runs to its end, undisturbed', async () => {
    let ended = false
    const { client } = await newOpenDoor(
      async (_, { signal }) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        ended = !signal.aborted
      },
      { cancel: false },
    )
    expect(await codeOf(() => client.call('x', { timeout: 2 }))).toBe('EINTR')
    await until(() => ended)
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

  test('54, 125: on a closed door is EBADF; closing twice is fine', async () => {
    const { client } = await newOpenDoor(echo)
    client.close()
    client.close()
    expect(await codeOf(() => client.call('x'))).toBe('EBADF')
    expect(await codeOf(() => client.callSync('x'))).toBe('EBADF')
    expect(await codeOf(() => client.info())).toBe('EBADF')
  })
})
