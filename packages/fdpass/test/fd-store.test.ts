import { closeSync, openSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Fd, FdPassError, fdStore, FdSocket, notify, notifyBarrier } from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { Manager } from './fixtures/manager.ts'
import { assignmentsOf, NotifyListener } from './fixtures/notify-listener.ts'
import { node } from './fixtures/service.ts'
import { setVariables } from './fixtures/variables.ts'

const open = (): number => readdirSync('/proc/self/fd').length

/** A duplicate, because a worker thread closes at its end what it has opened by node:fs. */
const newFile = (): Fd => {
  const opened = openSync('/dev/null', 'r')
  const fd = Fd.from(opened)
  const file = own(fd.dup())
  closeSync(fd.take())
  return file
}

const newPair = (): [FdSocket, FdSocket] => {
  const ends = FdSocket.pair({ type: 'seqpacket' })
  for (const end of ends) own(end)
  return ends
}

describe('put and remove', () => {
  test('say what the manager reads', async () => {
    const manager = NotifyListener.start()
    expect(await fdStore.put('state', [newFile(), newPair()[0]])).toBe(true)
    const message = await manager.next()
    expect(assignmentsOf(message)).toEqual([
      ['FDSTORE', '1'],
      ['FDNAME', 'state'],
    ])
    expect(message.fds.map(({ kind }) => kind)).toEqual(['character-device', 'unix-seqpacket'])
    expect(fdStore.putSync('state', new Set([newFile()]), { poll: false })).toBe(true)
    expect(await manager.hears()).toEqual({ FDSTORE: '1', FDNAME: 'state', FDPOLL: '0' })
    expect(await fdStore.remove('state')).toBe(true)
    expect(fdStore.removeSync('state')).toBe(true)
    for (let count = 0; count < 2; count++) {
      expect(await manager.hears()).toEqual({ FDSTOREREMOVE: '1', FDNAME: 'state' })
    }
  })

  test('more than 253 descriptors go in several messages', async () => {
    const manager = NotifyListener.start()
    const fds = Array<Fd>(600).fill(newFile())
    const put = fdStore.put('many', fds, { poll: false })
    expect(fdStore.putSync('many', fds, { poll: false })).toBe(true)
    for (const count of [253, 253, 94, 253, 253, 94]) {
      const message = await manager.next()
      expect(message.fdCount).toBe(count)
      expect(Object.fromEntries(assignmentsOf(message))).toEqual({
        FDSTORE: '1',
        FDNAME: 'many',
        FDPOLL: '0',
      })
      message.close()
    }
    expect(await put).toBe(true)
    expect(manager.silent).toBe(true)
  })

  test('what waits for the manager keeps its descriptors, though they are closed meanwhile', async () => {
    const manager = NotifyListener.start()
    let count = 0
    while (await notify({ status: String(count) }, { timeout: 0 }).catch(() => false)) count++
    // The first wait of a thread makes a descriptor for its event loop.
    await expect(notify({ ready: true }, { timeout: 1 })).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    const before = open()
    const file = newFile()
    const put = fdStore.put('many', Array<Fd>(300).fill(file))
    const late = fdStore.put('late', [file], { timeout: 1 })
    file.close()
    await expect(late).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    expect(() => fdStore.putSync('late', [0], { timeout: 1 })).toThrow(/ETIMEDOUT/)
    await expect(fdStore.remove('late', { signal: AbortSignal.abort(1) })).rejects.toBe(1)
    while (count-- > 0) await manager.next()
    for (const fds of [253, 47]) {
      const message = await manager.next()
      expect(message.fds.every(({ kind }) => kind === 'character-device')).toBe(true)
      expect(message.fdCount).toBe(fds)
      message.close()
    }
    expect(await put).toBe(true)
    expect(manager.silent).toBe(true)
    expect(open()).toBeLessThanOrEqual(before)
  })

  test('without a manager: false', async () => {
    setVariables({ NOTIFY_SOCKET: undefined })
    expect(await fdStore.put('state', [newFile()])).toBe(false)
    expect(fdStore.putSync('state', [newFile()])).toBe(false)
    expect(await fdStore.remove('state')).toBe(false)
    expect(fdStore.removeSync('state')).toBe(false)
  })
})

describe('refused, and nothing is sent', () => {
  test.each([
    ['with a colon', 'a:b'],
    ['with a line end', 'a\nREADY=1'],
    ['with a control character', 'a\x7f'],
    ['that is not ASCII', 'zustände'],
    ['of 256 characters', 'n'.repeat(256)],
    ['that is no string', 1 as never],
  ])('a name %s: EINVAL', async (_, name) => {
    const manager = NotifyListener.start()
    await expect(fdStore.put(name, [newFile()])).rejects.toMatchObject({ code: 'EINVAL' })
    await expect(fdStore.remove(name)).rejects.toMatchObject({ code: 'EINVAL' })
    expect(() => fdStore.putSync(name, [newFile()])).toThrow(FdPassError)
    expect(() => fdStore.removeSync(name)).toThrow(FdPassError)
    expect(manager.silent).toBe(true)
  })

  test('any other character of ASCII is fine', async () => {
    const manager = NotifyListener.start()
    const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join('')
    for (const name of [ascii.replace(':', ''), 'n'.repeat(255), '']) {
      await fdStore.put(name, [newFile()])
      expect(await manager.hears()).toEqual({ FDSTORE: '1', FDNAME: name })
    }
  })

  test('no descriptor, one that is not open, options that are not known', async () => {
    const manager = NotifyListener.start()
    const file = newFile()
    await expect(fdStore.put('state', [])).rejects.toMatchObject({ code: 'EINVAL' })
    const last = [...Array<Fd>(253).fill(file), 60_000]
    await expect(fdStore.put('state', last)).rejects.toMatchObject({ code: 'EBADF' })
    expect(() => fdStore.putSync('state', last)).toThrow(/EBADF/)
    for (const options of [{ pol: false }, { poll: 0 }, { timeout: NaN }] as never[]) {
      await expect(fdStore.put('state', [file], options)).rejects.toMatchObject({ code: 'EINVAL' })
      expect(() => fdStore.putSync('state', [file], options)).toThrow(FdPassError)
    }
    expect(() => fdStore.removeSync('state', { signal: undefined } as never)).toThrow(FdPassError)
    expect(manager.silent).toBe(true)
  })
})

describe('a manager keeps', () => {
  test('every descriptor once, by its name, until that is removed', async () => {
    const manager = Manager.start()
    const [file, [end]] = [newFile(), newPair()]
    await fdStore.put('a', [file, end])
    await fdStore.put('b', [file.dup(), end.fd])
    await fdStore.put('b', newPair())
    await notifyBarrier()
    expect(manager.names).toEqual(['a', 'a', 'b', 'b'])
    await fdStore.remove('a')
    await notifyBarrier()
    expect(manager.names).toEqual(['b', 'b'])
  })

  test('what has hung up only with poll: false', async () => {
    const manager = Manager.start()
    const [[one, other], [stays, leaves]] = [newPair(), newPair()]
    await fdStore.put('dropped', [one])
    await fdStore.put('kept', [stays], { poll: false })
    await fdStore.put('file', [newFile()])
    await notifyBarrier()
    expect(manager.names).toEqual(['dropped', 'kept', 'file'])
    leaves.close()
    other.close()
    await manager.until(() => manager.names.length < 3)
    expect(manager.names).toEqual(['kept', 'file'])
  })

  test('what was put comes back by listenFds, with its names', async () => {
    const manager = Manager.start()
    await fdStore.put('file.1 of x', [newFile()])
    await fdStore.put('pair', newPair())
    await notifyBarrier()
    const service = manager.start(node('tell(f.listenFds().map(({ name, fd }) => [name, fd.fd, fd.kind]))'))
    expect(await service.tells()).toEqual([
      ['file.1 of x', 3, 'character-device'],
      ['pair', 4, 'unix-seqpacket'],
      ['pair', 5, 'unix-seqpacket'],
    ])
  })
})

/** Counts messages, in a file that has no name; and would lose nothing but its life by a crash. */
const COUNTER = (path: string): string => `
  import { openSync, readSync, unlinkSync, writeSync } from 'node:fs'
  const passed = f.listenFds()
  const named = (name) => passed.filter((each) => each.name === name).map(({ fd }) => fd)
  let [listener] = named('listener').map((fd) => f.FdListener.from(fd))
  let [count] = named('count')
  if (listener === undefined) {
    listener = f.listen('${path}', { type: 'seqpacket' })
    count = f.Fd.from(openSync('${path}.count', 'wx+'))
    unlinkSync('${path}.count')
    writeSync(count.fd, Uint8Array.of(0), 0, 1, 0)
    await f.fdStore.put('listener', [listener])
    await f.fdStore.put('count', [count])
    await f.notifyBarrier()
  }
  const byte = new Uint8Array(1)
  const serve = async (socket) => {
    for await (const { data } of socket) {
      readSync(count.fd, byte, 0, 1, 0)
      byte[0]++
      writeSync(count.fd, byte, 0, 1, 0)
      await socket.send(byte[0] + ' ' + data)
    }
    socket.close()
  }
  for (const fd of named('connection')) serve(f.FdSocket.from(fd))
  await f.notify({ ready: true, status: named('connection').length + ' connections' })
  for await (const socket of listener) {
    await f.fdStore.put('connection', [socket])
    await f.notifyBarrier()
    serve(socket)
  }`

test('a program that is killed gets its listener, its connections and its state back', async () => {
  const manager = Manager.start()
  const path = `${newFolder()}/counter`
  const said = async (client: FdSocket): Promise<string | undefined> => (await client.recv())?.data.toString()

  const first = manager.start(node(COUNTER(path)))
  expect(await manager.hears()).toEqual({ READY: '1', STATUS: '0 connections' })
  const client = own(await FdSocket.connect(path, { type: 'seqpacket' }))
  await client.send('before')
  expect(await said(client)).toBe('1 before')
  await first.kill('SIGKILL')
  expect(await first.ended).toEqual([null, 'SIGKILL'])

  // Nobody is there now, and nobody outside can tell.
  await client.send('between')
  const other = own(await FdSocket.connect(path, { type: 'seqpacket' }))
  await other.send('new')

  manager.start(node(COUNTER(path)))
  expect(await manager.hears()).toEqual({ READY: '1', STATUS: '1 connections' })
  expect((await Promise.all([said(client), said(other)])).sort()).toEqual(['2 between', '3 new'])
  expect(manager.names).toEqual(['listener', 'count', 'connection', 'connection'])

  client.close()
  await manager.until(() => manager.names.length === 3) // it has hung up
  await other.send('after')
  expect(await said(other)).toBe('4 after')
})
