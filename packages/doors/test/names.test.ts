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
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { dirname, join, relative } from 'node:path'
import { listen } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { createDoor, DoorClient, openDoor, openDoorSync, repair } from '../src/index.ts'
import { newChild, unprivileged, withLimit } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor } from './fixtures/doors.ts'

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

  test('28: where another door is is EBUSY, and that door stays', async () => {
    const { path, client } = await newOpenDoor(() => 'the first')
    const other = own(createDoor(() => 'the second'))
    expect(
      await codeOf(() => {
        other.attach(path)
      }),
    ).toBe('EBUSY')
    expect((await client.call('x')).data.toString()).toBe('the first')
    expect((await own(await openDoor(path)).call('x')).data.toString()).toBe('the first')
    expect(other.references).toMatchObject({ names: 0, total: 1 })
  })

  test('25: over the name of a server that was killed is EBUSY, until somebody removes it', async () => {
    const path = join(newFolder(), 'door')
    const server = newChild(`createDoor((data) => data).attach(path); print('ready')`, path)
    await server.next()
    server.kill()
    await server.exited
    expect(await codeOf(() => openDoor(path))).toBe('EBADF')
    const door = own(createDoor(echo))
    expect(
      await codeOf(() => {
        door.attach(path)
      }),
    ).toBe('EBUSY')
    unlinkSync(path)
    door.attach(path)
    expect((await own(await openDoor(path)).call('x')).data.toString()).toBe('x')
  })

  test('26: over a file that may not be written is EACCES, over somebody else’s EPERM; nothing changes', async () => {
    const folder = newFolder()
    chmodSync(folder, 0o777)
    const child = newChild(
      `const door = createDoor(() => {})
      fs.writeFileSync(path + '.own', 'own', { mode: 0o444 })
      for (const each of [path + '.own', '/etc/passwd', '/usr/door']) print(await codeOf(() => door.attach(each)))
      print(fs.readFileSync(path + '.own', 'utf8') + ' ' + door.references.total)`,
      join(folder, 'file'),
      unprivileged,
    )
    expect([await child.next(), await child.next(), await child.next()]).toEqual([
      'EACCES',
      'EPERM',
      'EACCES',
    ])
    expect(await child.next()).toBe('own 1')
    expect(readdirSync(folder)).toEqual(['file.own'])
  })

  test('36: by a relative path, which is meant from the folder of that moment', async () => {
    const path = join(newFolder(), 'door')
    const door = own(createDoor(echo))
    door.attach(relative(process.cwd(), path))
    expect(existsSync(path)).toBe(true)
    expect((await own(await openDoor(relative(process.cwd(), path))).call('x')).data.toString()).toBe('x')
    door.detach(path)
    expect(existsSync(path)).toBe(false)
  })

  test('36: and is opened by a symbolic link, which is no name', async () => {
    const { door, path } = newDoor(echo)
    symlinkSync(path, `${path}.link`)
    expect((await own(await openDoor(`${path}.link`)).call('x')).data.toString()).toBe('x')
    expect(door.references.names).toBe(1)
    door.detach(path)
    expect(await codeOf(() => openDoor(`${path}.link`))).toBe('ENOENT')
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
  test('24: of what is not attached is EINVAL', async () => {
    const { door, path } = newDoor(echo)
    expect(
      await codeOf(() => {
        door.detach(`${path}.other`)
      }),
    ).toBe('EINVAL')
  })

  test('24: leaves opens as they are', async () => {
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

  test('34: of a server that goes before it has let the client in is EBADF', async () => {
    const path = join(newFolder(), 'door')
    const listener = listen(path, { type: 'seqpacket', unlink: false })
    const code = codeOf(() => openDoor(path))
    await new Promise((resolve) => setImmediate(resolve))
    listener.close()
    expect(await code).toBe('EBADF')
  })

  test('34: of a name whose server has exited is EBADF; who had it open is told its process still', async () => {
    const path = join(newFolder(), 'door')
    const server = newChild(
      `createDoor((data) => data).attach(path); print('ready'); await line(); process.exit()`,
      path,
    )
    await server.next()
    const client = own(await openDoor(path))
    server.go()
    await server.exited
    expect(existsSync(path)).toBe(true)
    expect(await codeOf(() => openDoor(path))).toBe('EBADF')
    expect(await codeOf(() => openDoorSync(path))).toBe('EBADF')
    expect(await codeOf(() => client.call('x'))).toBe('EBADF')
    expect(client.info().target).toBe(server.process.pid)
  })

  test('32: of a name that may not be written is EACCES', async () => {
    const { path } = newDoor(echo)
    chmodSync(dirname(path), 0o755)
    chmodSync(path, 0o444)
    const child = newChild(
      `for (const open of [openDoor, openDoorSync]) print(await codeOf(() => open(path)))`,
      path,
      unprivileged,
    )
    expect([await child.next(), await child.next()]).toEqual(['EACCES', 'EACCES'])
    chmodSync(path, 0o666)
    const other = newChild(`print(openDoorSync(path).callSync('x').data.toString())`, path, unprivileged)
    expect(await other.next()).toBe('x')
  })
})

describe('repair', () => {
  /** A server with that name has been killed. */
  const killed = async (path: string): Promise<void> => {
    const child = newChild(`createDoor((data) => data).attach(path); print('ready')`, path)
    await child.next()
    child.kill()
    await child.exited
  }

  test('25, 37: takes away the name of a server that was killed', async () => {
    const path = join(newFolder(), 'door')
    await killed(path)
    expect(repair(path)).toBe('removed')
    expect(readdirSync(dirname(path))).toEqual([])
    expect(repair(path)).toBe('nothing')
  })

  test('23: and the file that it had covered is back', async () => {
    const path = join(newFolder(), 'file')
    writeFileSync(path, 'precious')
    await killed(path)
    expect(lstatSync(path).isSocket()).toBe(true)
    expect(repair(path)).toBe('uncovered')
    expect(readFileSync(path, 'utf8')).toBe('precious')
    expect(readdirSync(dirname(path))).toEqual(['file'])
  })

  test('of a name that is alive is EBUSY, also to take it over', async () => {
    const { path } = newDoor(echo)
    const door = own(createDoor(echo))
    expect(await codeOf(() => repair(path))).toBe('EBUSY')
    expect(
      await codeOf(() => {
        door.attach(path, { reclaim: true })
      }),
    ).toBe('EBUSY')
    expect((await own(await openDoor(path)).call('x')).data.toString()).toBe('x')
  })

  test('leaves what is no socket, and abstract names are EINVAL', async () => {
    const path = join(newFolder(), 'file')
    writeFileSync(path, 'mine')
    expect(repair(path)).toBe('nothing')
    expect(await codeOf(() => repair('\0abstract'))).toBe('EINVAL')
  })

  test.each([
    ['a name', false],
    ['a name over a file', true],
  ])('25: attach with reclaim takes %s of a killed server over', async (_, covers) => {
    const path = join(newFolder(), 'door')
    if (covers) writeFileSync(path, 'precious')
    await killed(path)
    const door = own(createDoor(echo))
    expect(
      await codeOf(() => {
        door.attach(path)
      }),
    ).toBe('EBUSY')
    door.attach(path, { reclaim: true })
    expect((await own(await openDoor(path)).call('x')).data.toString()).toBe('x')
    door.detach()
    expect(readdirSync(dirname(path))).toEqual(covers ? ['door'] : [])
  })
})

describe('options', () => {
  test('that are unknown, or of a wrong type, are EINVAL, and nothing has changed', async () => {
    const { door, path } = newDoor(echo)
    const attach = (options: object) => () => {
      door.attach(`${path}.2`, options)
    }
    for (const wrong of [{ moed: 0o600 }, { mode: 0o1777 }, { mode: '600' }, { reclaim: 1 }])
      expect(await codeOf(attach(wrong))).toBe('EINVAL')
    expect(existsSync(`${path}.2`)).toBe(false)
    for (const wrong of [{ tiemout: 5 }, { timeout: -1 }, { sharedMemory: 1 }] as never[]) {
      expect(await codeOf(() => openDoor(path, wrong))).toBe('EINVAL')
      expect(await codeOf(() => openDoorSync(path, wrong))).toBe('EINVAL')
      const fd = own(door.descriptor())
      expect(await codeOf(() => DoorClient.from(fd, wrong))).toBe('EINVAL')
    }
  })

  test('6: attach with room for its socket alone is EMFILE, and leaves no name', async () => {
    const child = newChild(
      `const first = createDoor(() => {})
      first.attach(path + '.first') // this thread has its inotify(7) from now on
      const door = createDoor(() => {})
      const spare = fill()
      fs.closeSync(spare.pop())
      print(await codeOf(() => door.attach(path)))
      print(String(fill().length))
      print(String(fs.existsSync(path)))`,
      join(newFolder(), 'door'),
      withLimit(64),
    )
    expect([await child.next(), await child.next(), await child.next()]).toEqual(['EMFILE', '1', 'false'])
  })
})
