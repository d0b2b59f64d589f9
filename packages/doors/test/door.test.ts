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
  openDoor,
} from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor } from './fixtures/doors.ts'

describe('createDoor', () => {
  test.each([
    [{ unref: 'always' }],
    [{ cancle: true }],
    [{ dataMin: 5, dataMax: 4 }],
    [{ dataMin: -1 }],
    [{ descMax: 1.5 }],
  ])('with %j is EINVAL, and leaves nothing', async (options) => {
    const before = countOpen()
    expect(await codeOf(() => createDoor(echo, options as never))).toBe('EINVAL')
    expect(await codeOf(() => createDoor('x' as never))).toBe('EINVAL')
    expect(countOpen()).toBe(before)
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

  test('each door has a number of its own', () => {
    const numbers = Array.from({ length: 50 }, () => own(createDoor(echo)).info().uniquifier)
    expect(new Set(numbers).size).toBe(50)
  })

  test('18: the cookie is the procedure’s; only a number that is meant for them is seen by others', async () => {
    const secret = { deep: 'inside' }
    const given: unknown[] = []
    const { client } = await newOpenDoor((_, { cookie }) => void given.push(cookie), { cookie: secret })
    await client.call('x')
    expect(given).toEqual([secret])
    expect(client.info().cookie).toBe(0n)
  })

  test('attributes say what the door was made with', () => {
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

  test('have limits of their own', async () => {
    const door = own(createDoor(echo, { dataMax: 100 }))
    expect(
      await codeOf(() => {
        door.setParam(DOOR_PARAM_DATA_MIN, 101)
      }),
    ).toBe('EINVAL')
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
  })
})

describe('revoke', () => {
  test('89: calls that run complete; 91: none begins, and a second revoke is EBADF', async () => {
    const { door, path, client } = await newOpenDoor(async (data) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return data ?? undefined
    })
    const calls = ['a', 'b', 'c'].map(async (text) => (await client.call(text)).data.toString())
    await until(() => door.references.opens === 1)
    await new Promise((resolve) => setTimeout(resolve, 5))
    const revoked = door.revoke()
    expect(await codeOf(() => client.call('late'))).toBe('EBADF')
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
