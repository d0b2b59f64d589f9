import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, mkdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FdSocket } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import {
  createDoor,
  DOOR_IS_UNREF,
  DOOR_UNREF,
  DoorClient,
  openDoor,
  type DoorOptions,
} from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo } from './fixtures/doors.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** A door that counts how often it is told. */
const newCounted = (
  options: DoorOptions = { unref: 'multi' },
): { door: ReturnType<typeof createDoor>; path: string; told: () => number } => {
  let count = 0
  const door = own(createDoor(echo, { ...options, onUnreferenced: () => count++ }))
  return { door, path: join(newFolder(), 'door'), told: () => count }
}

const isUnref = (door: ReturnType<typeof createDoor>): boolean =>
  (door.info().attributes & DOOR_IS_UNREF) !== 0

describe('the examples of Stevens', () => {
  class Server implements Disposable {
    readonly child: ChildProcess
    readonly lines: string[] = []
    constructor(...args: string[]) {
      this.child = spawn(process.execPath, ['examples/unref-server.js', ...args], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      this.child.stdout?.on('data', (data: Buffer) => this.lines.push(...data.toString().trim().split('\n')))
    }
    [Symbol.dispose](): void {
      this.child.kill('SIGKILL')
    }
  }
  const run = async (path: string, number: string): Promise<string> => {
    const child = spawn(process.execPath, ['examples/unref-client.js', path, number], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
    return output.trim()
  }

  test('102: the first: the server closes its descriptor, the name is left, and clients are served', async () => {
    const path = join(newFolder(), 'DOOR1')
    const server = own(new Server(path, '--close'))
    await until(() => server.lines.includes('door unreferenced'))
    expect(await run(path, '11')).toBe('result: 121')
    expect(await run(path, '22')).toBe('result: 484')
    expect(server.lines).toEqual([
      'attached',
      'door unreferenced',
      'arg = 11',
      'returning 11',
      'arg = 22',
      'returning 22',
    ])
  })

  test('103: the second: the name is removed by rm', async () => {
    const path = join(newFolder(), 'DOOR2')
    const server = own(new Server(path))
    await until(() => server.lines.includes('attached'))
    execFileSync('rm', [path])
    await until(() => server.lines.length === 2)
    expect(server.lines).toEqual(['attached', 'door unreferenced'])
  })

  test('104: the third: rm while three clients are in the procedure', async () => {
    const path = join(newFolder(), 'DOOR3')
    const server = own(new Server(path, '--slow', '1'))
    await until(() => server.lines.includes('attached'))
    const results = ['44', '55', '66'].map((number) => run(path, number))
    await until(() => server.lines.length === 4)
    execFileSync('rm', [path])
    expect(await Promise.all(results)).toEqual(['result: 1936', 'result: 3025', 'result: 4356'])
    await until(() => server.lines.length === 8)
    const [attached, ...rest] = server.lines
    expect(attached).toBe('attached')
    expect(rest.slice(0, 3).toSorted()).toEqual(['arg = 44', 'arg = 55', 'arg = 66'])
    expect(rest.slice(3, 6).toSorted()).toEqual(['returning 44', 'returning 55', 'returning 66'])
    expect(rest[6]).toBe('door unreferenced')
  })
})

describe('unreferenced', () => {
  test('105: never more than one reference is no news', async () => {
    const { door, told } = newCounted()
    door.close()
    await new Promise(setImmediate)
    expect(told()).toBe(0)
  })

  test('106, 107: once is once; the attribute is gone then', async () => {
    const { door, path, told } = newCounted({ unref: 'once' })
    door.attach(path)
    expect(door.info().attributes & DOOR_UNREF).toBe(DOOR_UNREF)
    door.detach(path)
    await until(() => told() === 1)
    expect(door.info().attributes & DOOR_UNREF).toBe(0)
    door.attach(path)
    door.detach()
    await until(() => door.references.total === 1)
    expect(told()).toBe(1)
  })

  test('106, 115: multi is each time, and it may be attached again then', async () => {
    const { door, path, told } = newCounted()
    for (let round = 1; round <= 3; round++) {
      door.attach(path)
      door.detach(path)
      await until(() => told() === round)
    }
    expect(door.references).toMatchObject({ own: 1, names: 0, total: 1 })
  })

  test('110: IS_UNREF tells how it is', async () => {
    const { door, path } = newCounted()
    expect(isUnref(door)).toBe(true)
    door.attach(path)
    expect(isUnref(door)).toBe(false)
    const client = own(await openDoor(path))
    expect(client.info().attributes & DOOR_IS_UNREF).toBe(0)
    door.close()
    execFileSync('rm', [path])
    await until(() => (client.info().attributes & DOOR_IS_UNREF) !== 0)
    expect(door.references).toMatchObject({ own: 0, names: 0, opens: 1 })
  })

  test('108: while a call runs it waits for its end', async () => {
    let [finish, told] = [(): void => undefined, 0]
    const door = own(
      createDoor(
        () =>
          new Promise<undefined>(
            (resolve) =>
              (finish = (): void => {
                resolve(undefined)
              }),
          ),
        { unref: 'multi', onUnreferenced: () => told++ },
      ),
    )
    const path = join(newFolder(), 'door')
    door.attach(path)
    const client = own(await openDoor(path))
    const call = client.call('x')
    await until(() => finish.name === 'finish')
    door.close()
    door.detach()
    await until(() => door.references.total === 1)
    expect(told).toBe(0)
    finish()
    await call
    await until(() => told === 1)
  })

  test('111: a least number of bytes does not stand in its way', async () => {
    const { door, path, told } = newCounted({ unref: 'multi', dataMin: 8 })
    door.attach(path)
    door.detach()
    await until(() => told() === 1)
  })

  test('117: mv of another file over the name removes it', async () => {
    const { door, path, told } = newCounted()
    door.attach(path)
    writeFileSync(`${path}.other`, 'x')
    renameSync(`${path}.other`, path)
    await until(() => told() === 1)
    expect(door.references.names).toBe(0)
  })

  test('29: a hard link is one more name, whoever makes it', async () => {
    const { door, path, told } = newCounted()
    door.attach(path)
    linkSync(path, `${path}.link`)
    await until(() => door.references.names === 2)
    execFileSync('rm', [path])
    await until(() => door.references.names === 1)
    expect(told()).toBe(0)
    const client = await openDoor(`${path}.link`)
    expect((await client.call('x')).data.toString()).toBe('x')
    client.close()
    execFileSync('rm', [`${path}.link`])
    await until(() => told() === 1)
  })

  test('106, 119, 120: the last name and the last open that go together are told of once', async () => {
    const { door, path, told } = newCounted()
    const lose = async (round: number): Promise<void> => {
      door.attach(path)
      const client = await openDoor(path)
      await client.call('x')
      client.close()
      // By another process or this one: both ends are there when the event loop looks.
      if (round % 8 === 0) execFileSync('rm', [path])
      else unlinkSync(path)
      await until(() => told() >= round)
    }
    await lose(1)
    await until(() => door.references.total === 1)
    for (let round = 2; round <= 100; round++) {
      const before = countOpen()
      await lose(round)
      // The entrance is gone for good when its descriptors are.
      await until(() => door.references.total === 1 && countOpen() <= before)
      expect(told()).toBe(round)
    }
  })

  test('113, 114: an open in another process, and one in a message that nobody has received', async () => {
    const { door, path, told } = newCounted()
    door.attach(path)
    const child = newChild(
      `const door = openDoorSync(path); print(door.callSync('x').data.toString()); await line()`,
      path,
    )
    expect(await child.next()).toBe('x')
    const client = await openDoor(path)
    const [a, b] = FdSocket.pair()
    await a.send('keep it', [client.fd])
    client.close()
    door.detach()
    await until(() => door.references.names === 0)
    expect(door.references.opens).toBe(2)
    child.kill()
    await until(() => door.references.opens === 1)
    expect(told()).toBe(0)
    a.close()
    b.close()
    await until(() => told() === 1)
  })

  test('119: who connects while the name is removed is counted, or not let in', async () => {
    for (let round = 0; round < 20; round++) {
      const { door, path } = newCounted()
      door.attach(path)
      const opens = Array.from({ length: 8 }, () => openDoor(path).then(own, () => undefined))
      execFileSync('rm', ['-f', path])
      const clients = (await Promise.all(opens)).filter((client) => client !== undefined)
      await until(() => door.references.names === 0)
      expect(door.references.opens).toBe(clients.length)
      for (const client of clients) expect((await client.call('x')).data.toString()).toBe('x')
    }
  })

  test('112: of a revoked door there is no news', async () => {
    const { door, path, told } = newCounted()
    door.attach(path)
    const client = own(await openDoor(path))
    await door.revoke()
    client.close()
    // The last reference has gone: nothing is left that there could be news of.
    await until(() => door.references.total === 0)
    await new Promise(setImmediate)
    expect(told()).toBe(0)
  })

  test('109: what is lost and won again while a call runs is told of once, and the handler sees how it is', async () => {
    const seen: boolean[] = []
    let [running, finish] = [false, (): void => undefined]
    const door = own(
      createDoor(
        async () => {
          running = true
          await new Promise<void>((resolve) => (finish = resolve))
        },
        {
          unref: 'multi',
          onUnreferenced: () => {
            seen.push(isUnref(door))
          },
        },
      ),
    )
    const path = join(newFolder(), 'door')
    const client = own(DoorClient.from(door.descriptor()))
    const call = codeOf(() => client.call('x'))
    await until(() => running)
    client.close()
    expect(await call).toBe('EINTR')
    await until(() => door.references.total === 1)
    for (let round = 0; round < 3; round++) {
      door.attach(path)
      door.detach()
      await until(() => door.references.total === 1)
    }
    door.attach(path)
    expect(seen).toEqual([])
    finish()
    await until(() => seen.length > 0)
    expect(seen).toEqual([false])
    door.detach()
    await until(() => seen.length > 1)
    expect(seen).toEqual([false, true])
  })

  test('116: one of two names is no loss, by whomever it is removed; the last one is', async () => {
    const { door, path, told } = newCounted()
    door.attach(path)
    door.attach(`${path}.second`)
    execFileSync('rm', [path])
    await until(() => door.references.names === 1)
    expect(told()).toBe(0)
    execFileSync('rm', [`${path}.second`])
    await until(() => told() === 1)
  })

  test('118: to move the folder of a name is no loss', async () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'before'))
    const { door, told } = newCounted()
    door.attach(join(folder, 'before', 'door'))
    renameSync(join(folder, 'before'), join(folder, 'after'))
    const client = await openDoor(join(folder, 'after', 'door'))
    expect((await client.call('x')).data.toString()).toBe('x')
    client.close()
    await until(() => door.references.opens === 0)
    expect(door.references.names).toBe(1)
    expect(told()).toBe(0)
    execFileSync('rm', [join(folder, 'after', 'door')])
    await until(() => told() === 1)
  })
})
