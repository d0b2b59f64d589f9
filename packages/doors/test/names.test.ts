import {
  linkSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createDoor, openDoor } from '../src/index.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newDoor } from './fixtures/doors.ts'

describe('attach', () => {
  test('21, 22, 23: over a file covers it, with its mode, and the file comes back', async () => {
    const path = join(newFolder(), 'file')
    writeFileSync(path, 'precious')
    chmodSync(path, 0o640)
    const door = own(createDoor(echo))
    door.attach(path)
    expect(lstatSync(path).isSocket()).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o640)
    expect((await own(await openDoor(path)).call('x')).data.toString()).toBe('x')
    expect(() => readFileSync(path)).toThrow(/ENXIO/)
    door.detach(path)
    expect(readFileSync(path, 'utf8')).toBe('precious')
    expect(readdirSync(dirname(path))).toEqual(['file'])
  })

  test('31: rm of the name takes the covered file with it', async () => {
    const path = join(newFolder(), 'file')
    writeFileSync(path, 'covered')
    const door = own(createDoor(echo))
    door.attach(path)
    const client = own(await openDoor(path))
    execFileSync('rm', [path])
    await until(() => door.references.names === 0)
    expect(readdirSync(dirname(path))).toEqual([])
    expect((await client.call('still open')).data.toString()).toBe('still open')
    expect(await codeOf(() => openDoor(path))).toBe('ENOENT')
  })

  test('27: to a second path is a second reference, of the same door', async () => {
    const { door, path } = newDoor(echo)
    door.attach(`${path}.second`)
    expect(door.references.names).toBe(2)
    const clients = [own(await openDoor(path)), own(await openDoor(`${path}.second`))]
    expect(clients[0]?.info()).toEqual(clients[1]?.info())
    door.detach(path)
    expect(door.references.names).toBe(1)
    expect(await codeOf(() => openDoor(path))).toBe('ENOENT')
    own(await openDoor(`${path}.second`))
  })

  test('25: where a socket is already is EBUSY, and twice is too', async () => {
    const path = join(newFolder(), 'socket')
    const server = createServer().listen(path)
    await once(server, 'listening')
    const door = own(createDoor(echo))
    expect(
      await codeOf(() => {
        door.attach(path)
      }),
    ).toBe('EBUSY')
    door.attach(`${path}.door`)
    expect(
      await codeOf(() => {
        door.attach(`${path}.door`)
      }),
    ).toBe('EBUSY')
    server.close()
  })

  test.each([
    ['ENOENT', (folder: string) => join(folder, 'no', 'folder')],
    ['EINVAL', (folder: string) => folder],
    ['EINVAL', () => ''],
    ['EINVAL', () => 'a\0b'],
  ])('is %s, and changes nothing', async (code, path) => {
    const folder = newFolder()
    const door = own(createDoor(echo))
    expect(
      await codeOf(() => {
        door.attach(path(folder))
      }),
    ).toBe(code)
    expect(readdirSync(folder)).toEqual([])
    expect(door.references).toMatchObject({ names: 0, total: 1 })
  })

  test('30: mv of the name leaves it attached', async () => {
    const { door, path } = newDoor(echo)
    renameSync(path, `${path}.moved`)
    await until(() => existsSync(`${path}.moved`))
    expect((await own(await openDoor(`${path}.moved`)).call('x')).data.toString()).toBe('x')
    expect(door.references.names).toBe(1)
  })

  test('30: mv of a name that covers a file brings the file back', async () => {
    const path = join(newFolder(), 'file')
    writeFileSync(path, 'precious')
    const door = own(createDoor(echo))
    door.attach(path)
    renameSync(path, `${path}.moved`)
    await until(() => existsSync(path))
    expect(readFileSync(path, 'utf8')).toBe('precious')
    expect(readdirSync(dirname(path)).toSorted()).toEqual(['file', 'file.moved'])
    expect((await own(await openDoor(`${path}.moved`)).call('x')).data.toString()).toBe('x')
  })

  test('35: to a path of more than 108 bytes', async () => {
    const folder = join(newFolder(), 'd'.repeat(120))
    mkdirSync(folder)
    const door = own(createDoor(echo))
    door.attach(join(folder, 'n'.repeat(200)))
    expect((await own(await openDoor(join(folder, 'n'.repeat(200)))).call('x')).data.toString()).toBe('x')
  })

  test('29: a name that others have made leads nowhere when the door is revoked', async () => {
    const before = countOpen()
    const { door, path } = newDoor(echo)
    linkSync(path, `${path}.link`)
    await until(() => door.references.names === 2)
    await door.revoke()
    expect(await codeOf(() => openDoor(`${path}.link`))).toBe('EBADF')
    await until(() => door.references.names === 0 && countOpen() <= before + 1) // the one of inotify(7)
  })

  test('38: to an abstract name, which counts as one until it is detached', async () => {
    const name = `\0door-${process.pid}`
    const door = own(createDoor(echo))
    door.attach(name)
    expect(door.references.names).toBe(1)
    expect((await own(await openDoor(name)).call('x')).data.toString()).toBe('x')
    door.detach(name)
    await until(() => door.references.names === 0)
    expect(await codeOf(() => openDoor(name))).toBe('EBADF')
  })

  test('37: the name goes with the door', async () => {
    const { door, path } = newDoor(echo)
    await door[Symbol.asyncDispose]()
    await door[Symbol.asyncDispose]()
    expect(existsSync(path)).toBe(false)
  })
})

describe('detach', () => {
  test('of what is not attached is EINVAL', async () => {
    const { door, path } = newDoor(echo)
    expect(
      await codeOf(() => {
        door.detach(`${path}.other`)
      }),
    ).toBe('EINVAL')
  })

  test('leaves opens as they are', async () => {
    const { door, path } = newDoor(echo)
    const client = own(await openDoor(path))
    door.detach(path)
    expect((await client.call('x')).data.toString()).toBe('x')
  })
})

describe('openDoor', () => {
  test('33: of what is no door is EBADF', async () => {
    const folder = newFolder()
    writeFileSync(join(folder, 'file'), '')
    const server = createServer().listen(join(folder, 'stream'))
    await once(server, 'listening')
    for (const name of ['file', '.', 'stream']) {
      expect(await codeOf(() => openDoor(join(folder, name)))).toBe('EBADF')
    }
    server.close()
    expect(await codeOf(() => openDoor(join(folder, 'nothing')))).toBe('ENOENT')
  })
})
