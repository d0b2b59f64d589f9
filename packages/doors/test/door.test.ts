import { once } from 'node:events'
import { constants, existsSync, ftruncateSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { FdSocket, memfd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import {
  createDoor,
  DOOR_IS_UNREF,
  DOOR_LOCAL,
  DOOR_NO_CANCEL,
  DOOR_PARAM_DATA_MAX,
  DOOR_PARAM_DATA_MIN,
  DOOR_PARAM_DESC_MAX,
  DOOR_REFUSE_DESC,
  DOOR_REVOKED,
  DOOR_UNREF,
  DOOR_UNREF_MULTI,
  DoorClient,
  openDoor,
  type DoorOptions,
  type DoorParam,
} from '../src/index.ts'
import { newChild, withLimit } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor } from './fixtures/doors.ts'

const { O_RDWR } = constants
const O_CLOEXEC = 0o2000000

/** Without the one that they are read by. */
const openNumbers = (): string[] =>
  readdirSync('/proc/self/fd').filter((number) => existsSync(`/proc/self/fdinfo/${number}`))
const flagsOf = (number: string): number => {
  const text = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))?.[1]
  return Number.parseInt(text ?? '', 8)
}

describe('createDoor', () => {
  test.each([
    [{ unref: 'always' }],
    [{ cancle: true }],
    [{ dataMin: 5, dataMax: 4 }],
    [{ dataMin: -1 }],
    [{ descMax: 1.5 }],
    // Each kind of unreferenced call is a value of one option, so both at once cannot be said.
    [{ unref: 'once multi' }],
    [{ unref: ['once', 'multi'] }],
    // Attributes that are told, and not asked for.
    [{ attributes: DOOR_REVOKED }],
    [{ revoked: true }],
    [{ local: true }],
    // Attributes of door_xcreate(3C) alone.
    [{ noDepletionCallback: true }],
    [{ privateCreate: true }],
  ])('2, 3, 4, 5: with %j is EINVAL, and leaves nothing', async (options) => {
    const before = countOpen()
    expect(await codeOf(() => createDoor(echo, options as never))).toBe('EINVAL')
    expect(await codeOf(() => createDoor('x' as never))).toBe('EINVAL')
    expect(countOpen()).toBe(before)
  })

  test('1: gives a door whose descriptors are closed by exec', () => {
    const before = openNumbers()
    const door = own(createDoor(echo))
    const descriptor = own(door.descriptor())
    const made = openNumbers().filter((number) => !before.includes(number))
    expect(made).toContain(String(descriptor.fd))
    for (const number of made) expect(flagsOf(number) & O_CLOEXEC).toBe(O_CLOEXEC)
  })

  test('6: with a full table is EMFILE, and takes nothing', async () => {
    const child = newChild(
      `const spare = fill()
      print(await codeOf(() => createDoor(() => {})))
      for (const fd of spare.splice(0)) fs.closeSync(fd)
      createDoor(() => {}) // this thread has its queue from now on
      spare.push(...fill())
      print(await codeOf(() => createDoor(() => {})))
      fs.closeSync(spare.pop())
      const door = createDoor(() => {})
      print(await codeOf(() => door.attach(path)))
      print(await codeOf(() => door.descriptor()))
      await door.revoke()
      print(String(fill().length))
      for (const fd of spare) fs.closeSync(fd)
      createDoor((data) => data).attach(path)
      print('attached')`,
      join(newFolder(), 'door'),
      withLimit(64),
    )
    const lines: string[] = []
    for (let n = 0; n < 5; n++) lines.push(await child.next())
    expect(lines).toEqual(['EMFILE', 'EMFILE', 'EMFILE', 'EMFILE', '1'])
    expect(await child.next()).toBe('attached')
  })

  test('with descMax and refuseDescriptors is ENOTSUP, above INT_MAX ERANGE', async () => {
    expect(await codeOf(() => createDoor(echo, { refuseDescriptors: true, descMax: 1 }))).toBe('ENOTSUP')
    expect(await codeOf(() => createDoor(echo, { descMax: 2 ** 31 }))).toBe('ERANGE')
  })
})

describe('info', () => {
  test('59: is the same for server and client, but that it is local', async () => {
    const { door, path, client } = await newOpenDoor(echo, {
      publicCookie: 77n,
      unref: 'once',
      cancel: false,
    })
    const [mine, seen] = [door.info(), client.info()]
    expect(mine).toEqual(seen)
    expect(mine).toMatchObject({ target: process.pid, cookie: 77n })
    expect(mine.attributes).toBe(DOOR_LOCAL | DOOR_UNREF | DOOR_NO_CANCEL)
    const child = newChild(
      `const info = openDoorSync(path).info(); print([info.target, info.attributes, info.uniquifier, info.cookie].join())`,
      path,
    )
    const { target, attributes, uniquifier, cookie } = mine
    expect(await child.next()).toBe([target, attributes & ~DOOR_LOCAL, uniquifier, cookie].join())
  })

  test('7: each door has a number of its own, those of other processes too', async () => {
    const numbers = Array.from({ length: 50 }, () => own(createDoor(echo)).info().uniquifier)
    const source = `print(String(createDoor(() => {}).info().uniquifier))`
    for (const child of [newChild(source, ''), newChild(source, '')]) numbers.push(BigInt(await child.next()))
    expect(new Set(numbers).size).toBe(52)
  })

  test('60: tells of a revoked door, and of a client that is closed nothing: EBADF', async () => {
    const { door, client } = await newOpenDoor(echo)
    const { uniquifier } = door.info()
    await door.revoke()
    for (const info of [door.info(), client.info()]) {
      expect(info).toMatchObject({ target: process.pid, uniquifier })
      expect(info.attributes & DOOR_REVOKED).toBe(DOOR_REVOKED)
    }
    client.close()
    expect(await codeOf(() => client.info())).toBe('EBADF')
  })

  test('18: the cookie is the procedure’s; only a number that is meant for them is seen by others', async () => {
    const secret = { deep: 'inside' }
    const given: unknown[] = []
    const { client } = await newOpenDoor((_, { cookie }) => void given.push(cookie), { cookie: secret })
    await client.call('x')
    expect(given).toEqual([secret])
    expect(client.info().cookie).toBe(0n)
  })

  test('8: attributes say what the door was made with', () => {
    const attributes = (options: object): number =>
      own(createDoor(echo, options)).info().attributes & ~(DOOR_LOCAL | DOOR_IS_UNREF)
    expect(attributes({})).toBe(0)
    expect(attributes({ unref: 'multi', refuseDescriptors: true })).toBe(DOOR_UNREF_MULTI | DOOR_REFUSE_DESC)
  })
})

describe('parameters', () => {
  test('17: a client reads them, and sees changes at once', async () => {
    const { door, client } = await newOpenDoor(echo, { dataMin: 1, dataMax: 10 })
    expect(client.getParam(DOOR_PARAM_DATA_MIN)).toBe(1)
    expect(client.getParam(DOOR_PARAM_DATA_MAX)).toBe(10)
    door.setParam(DOOR_PARAM_DATA_MAX, 5)
    expect(client.getParam(DOOR_PARAM_DATA_MAX)).toBe(5)
    expect(await codeOf(() => client.call('123456'))).toBe('ENOBUFS')
    expect(await codeOf(() => client.getParam(9 as never))).toBe('EINVAL')
  })

  test('8, 9: are no limits, unless told; but no descriptors where they are refused', () => {
    const limits = (options: DoorOptions): number[] => {
      const door = own(createDoor(echo, options))
      return [DOOR_PARAM_DATA_MIN, DOOR_PARAM_DATA_MAX, DOOR_PARAM_DESC_MAX].map((param) =>
        door.getParam(param as DoorParam),
      )
    }
    expect(limits({})).toEqual([0, Number.MAX_SAFE_INTEGER, 0x7fffffff])
    expect(limits({ refuseDescriptors: true })).toEqual([0, Number.MAX_SAFE_INTEGER, 0])
    expect(limits({ dataMin: 1, dataMax: 2, descMax: 3 })).toEqual([1, 2, 3])
  })

  test('11: the least is not above the most; the old values stay', async () => {
    const door = own(createDoor(echo, { dataMin: 50, dataMax: 100 }))
    const set = (param: DoorParam, value: number): Promise<string> =>
      codeOf(() => {
        door.setParam(param, value)
      })
    expect(await set(DOOR_PARAM_DATA_MIN, 101)).toBe('EINVAL')
    expect(await set(DOOR_PARAM_DATA_MAX, 49)).toBe('EINVAL')
    expect(await set(DOOR_PARAM_DATA_MAX, -1)).toBe('EINVAL')
    expect(await set(DOOR_PARAM_DATA_MAX, 60.5)).toBe('EINVAL')
    expect([door.getParam(DOOR_PARAM_DATA_MIN), door.getParam(DOOR_PARAM_DATA_MAX)]).toEqual([50, 100])
  })

  test('12: what is set holds for the next call of everybody', async () => {
    const { door, client } = await newOpenDoor(echo)
    await client.call('1234')
    door.setParam(DOOR_PARAM_DATA_MAX, 3)
    door.setParam(DOOR_PARAM_DATA_MIN, 3)
    door.setParam(DOOR_PARAM_DESC_MAX, 0)
    expect([client.getParam(DOOR_PARAM_DATA_MIN), client.getParam(DOOR_PARAM_DESC_MAX)]).toEqual([3, 0])
    expect(await codeOf(() => client.call('1234'))).toBe('ENOBUFS')
    expect(await codeOf(() => client.call('12'))).toBe('ENOBUFS')
    expect(await codeOf(() => client.call('123', { fds: [0] }))).toBe('ENFILE')
    expect((await client.call('123')).data.toString()).toBe('123')
  })

  test('15: are the server’s: whoever has the door reads them, and cannot write: EPERM', async () => {
    const { path } = newDoor(echo)
    const socket = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const { fds } = own((await socket.recv())!)
    const page = fds[0]!
    expect(readSync(page.fd, Buffer.alloc(4096), 0, 4096, 0)).toBe(4096)
    expect(await codeOf(() => writeSync(page.fd, 'x', 0))).toBe('EPERM')
    expect(
      await codeOf(() => {
        ftruncateSync(page.fd, 0)
      }),
    ).toBe('EPERM')
    // A write through a new description of the same memory, which root may open.
    expect(
      await codeOf(() => {
        const again = own(page.reopen(O_RDWR))
        writeSync(again.fd, 'x', 0)
      }),
    ).toBe('EPERM')
  })

  test('16: of a revoked door are told, and not set any more: EBADF', async () => {
    const { door, client } = await newOpenDoor(echo, { dataMax: 10 })
    await door.revoke()
    expect(door.getParam(DOOR_PARAM_DATA_MAX)).toBe(10)
    expect(client.getParam(DOOR_PARAM_DATA_MAX)).toBe(10)
    expect(
      await codeOf(() => {
        door.setParam(DOOR_PARAM_DATA_MAX, 5)
      }),
    ).toBe('EBADF')
  })

  test('10, 13, 14: have limits of their own', async () => {
    const door = own(createDoor(echo, { dataMax: 100 }))
    expect(
      await codeOf(() => {
        door.setParam(DOOR_PARAM_DATA_MIN, 101)
      }),
    ).toBe('EINVAL')
    expect(await codeOf(() => door.getParam(9 as never))).toBe('EINVAL')
    expect(
      await codeOf(() => {
        door.setParam(DOOR_PARAM_DESC_MAX, 2 ** 31)
      }),
    ).toBe('ERANGE')
    expect(
      await codeOf(() => {
        door.setParam(9 as never, 1)
      }),
    ).toBe('EINVAL')
    const other = own(createDoor(echo, { refuseDescriptors: true }))
    expect(other.getParam(DOOR_PARAM_DESC_MAX)).toBe(0)
    expect(
      await codeOf(() => {
        other.setParam(DOOR_PARAM_DESC_MAX, 1)
      }),
    ).toBe('ENOTSUP')
    other.setParam(DOOR_PARAM_DESC_MAX, 0)
  })
})

describe('revoke', () => {
  test('83, 89: tells procedures whose callers give up at that moment, and ends with them', async () => {
    let runs = (): void => undefined
    const running = new Promise<void>((resolve) => (runs = resolve))
    const { door, client } = await newOpenDoor(async (_, { signal }) => {
      runs()
      await once(signal, 'abort')
    })
    const controller = new AbortController()
    const code = codeOf(() => client.call('x', { signal: controller.signal }))
    await running
    controller.abort()
    await door.revoke()
    expect(await code).toBe('EINTR')
  })

  test('89, 91: lets calls that run complete; none begins, and a second revoke is EBADF', async () => {
    const running: (() => void)[] = []
    const { door, path, client } = await newOpenDoor(async (data) => {
      await new Promise<void>((resolve) => running.push(resolve))
      return data ?? undefined
    })
    const calls = ['a', 'b', 'c'].map(async (text) => (await client.call(text)).data.toString())
    await until(() => running.length === 3)
    const revoked = door.revoke()
    expect(await codeOf(() => client.call('late'))).toBe('EBADF')
    expect(await codeOf(() => door.revoke())).toBe('EBADF')
    for (const finish of running) finish()
    expect(await Promise.all(calls)).toEqual(['a', 'b', 'c'])
    await revoked
    expect(await codeOf(() => door.revoke())).toBe('EBADF')
    expect(client.info().attributes & DOOR_REVOKED).toBe(DOOR_REVOKED)
    expect(await codeOf(() => openDoor(path))).toBe('ENOENT')
    expect(
      await codeOf(() => {
        door.attach(path)
      }),
    ).toBe('EBADF')
  })

  test('91: close() after it closes nothing that is somebody else’s by then', async () => {
    const { door, client } = await newOpenDoor(echo)
    await door.revoke()
    client.close()
    const others = Array.from({ length: 20 }, () => own(memfd('other')))
    door.close()
    client.close()
    await door[Symbol.asyncDispose]()
    await new Promise(setImmediate)
    for (const other of others) expect(other.kind).toBe('memfd')
  })

  test('92: leaves nothing that leads to the door', async () => {
    const { door, path } = newDoor(echo)
    door.attach(`${path}.second`)
    const descriptor = own(door.descriptor())
    await door.revoke()
    expect(await codeOf(() => openDoor(path))).toBe('ENOENT')
    expect(await codeOf(() => openDoor(`${path}.second`))).toBe('ENOENT')
    expect(await codeOf(() => door.descriptor())).toBe('EBADF')
    const client = own(DoorClient.from(descriptor))
    expect(await codeOf(() => client.call('x'))).toBe('EBADF')
    await until(() => door.references.opens === 0)
    expect(door.references).toMatchObject({ own: 0, names: 0, total: 0 })
  })

  test('leaves no descriptor', async () => {
    const cycle = async (): Promise<void> => {
      const { door, path } = newDoor(echo)
      const client = await openDoor(path)
      await client.call('x')
      await door.revoke()
      client.close()
    }
    await cycle()
    const before = countOpen()
    for (let round = 0; round < 10; round++) await cycle()
    await until(() => countOpen() <= before)
  })

  test('93: a door that its server has closed, and not revoked, goes on for who has it', async () => {
    const { door, client } = await newOpenDoor(echo)
    door.close()
    door.close()
    expect((await client.call('still')).data.toString()).toBe('still')
  })
})
