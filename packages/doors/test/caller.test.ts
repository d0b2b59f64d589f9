import { chmodSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { FdSocket, type Fd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { openDoor, type Caller, type DoorError } from '../src/index.ts'
import { encodeHeader, HEADER, Type } from '../src/wire.ts'
import { newChild, nobody } from './fixtures/child.ts'
import { codeOf, own, until } from './fixtures/disposal.ts'
import { newDoor, newOpenDoor } from './fixtures/doors.ts'

const isRoot = process.getuid?.() === 0

describe('caller', () => {
  test('66: is told as the kernel knows it', async () => {
    const { client } = await newOpenDoor((_, { caller }) => {
      const pidfd = caller.pidfd()
      const { kind } = pidfd
      pidfd.close()
      return JSON.stringify({
        pid: caller.pid,
        uid: caller.uid,
        gid: caller.gid,
        groups: caller.groups,
        kind,
      })
    })
    const told = JSON.parse((await client.call('x')).data.toString()) as object
    const [uid, gid] = [process.getuid?.(), process.getgid?.()]
    const groups = /^Groups:\t(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]?.trim() ?? ''
    expect(told).toMatchObject({ pid: process.pid, uid, gid, kind: 'pidfd' })
    expect((told as { groups: number[] }).groups.join(' ')).toBe(groups)
  })

  test('63: of a chain of calls is the last one before', async () => {
    const pids: number[] = []
    const { path } = newDoor((_, { caller }) => void pids.push(caller.pid))
    const between = newChild(
      `const inner = openDoorSync(path)
      createDoor((data, { caller }) => { inner.callSync(data); return String(caller.pid) }).attach(path + '.between')
      print('ready')`,
      path,
    )
    expect(await between.next()).toBe('ready')
    const client = own(await openDoor(`${path}.between`))
    expect((await client.call('x')).data.toString()).toBe(String(process.pid))
    expect(pids).toEqual([between.process.pid])
  })

  test.skipIf(!isRoot)(
    `64: is told with the user and the groups that it has${isRoot ? '' : ' (left out: needs root)'}`,
    async () => {
      const callers: Pick<Caller, 'uid' | 'gid' | 'groups'>[] = []
      const { door, path } = newDoor((_, { caller }) => {
        const { uid, gid, groups } = caller
        callers.push({ uid, gid, groups })
        return undefined
      })
      chmodSync(dirname(path), 0o755)
      chmodSync(path, 0o666)
      const as = ['setpriv', `--reuid=${nobody}`, '--regid=60001', '--groups=60002,60003']
      const child = newChild(`openDoorSync(path).callSync('x'); print('done')`, path, as)
      expect(await child.next()).toBe('done')
      expect(callers).toEqual([{ uid: nobody, gid: 60_001, groups: [60_002, 60_003] }])
      expect(door.references.total).toBeGreaterThanOrEqual(2)
    },
  )

  test('66: is who has made the session, whoever hands it over', async () => {
    const { path } = newDoor((_, { caller }) => String(caller.pid))
    const child = newChild(
      `const [near, far] = FdSocket.pair({ type: 'seqpacket' })
      const proxy = createDoor(() => ({ fds: [near.fd, far.fd] }))
      proxy.attach(path + '.proxy')
      print('ready')`,
      path,
    )
    expect(await child.next()).toBe('ready')
    const proxy = own(await openDoor(`${path}.proxy`))
    const { fds } = own(await proxy.call('x'))
    const [near, far] = [own(FdSocket.from(fds[0]!)), fds[1]!]
    const door = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const packet = { sequence: 1, status: 0, length: 0, descriptors: 0 }
    await door.send(encodeHeader({ ...packet, type: Type.session, descriptors: 1 }), [far])
    await near.send(encodeHeader({ ...packet, type: Type.call }))
    const reply = own((await near.recv({ timeout: 20_000 }))!)
    expect(reply.data.subarray(HEADER).toString()).toBe(String(child.process.pid))
  })

  test('67: has a pidfd, which stays its own when it has ended', async () => {
    let pidfd: Fd | undefined
    const { path } = newDoor((_, { caller }) => {
      pidfd = own(caller.pidfd())
      return undefined
    })
    const child = newChild(
      `openDoorSync(path).callSync('x'); print('called'); await line(); process.exit()`,
      path,
    )
    expect(await child.next()).toBe('called')
    const pidOf = (fd: Fd): string | undefined =>
      /^Pid:\t(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd.fd}`, 'utf8'))?.[1]
    expect(pidOf(pidfd!)).toBe(String(child.process.pid))
    child.go()
    await child.exited
    expect(pidOf(pidfd!)).toBe('-1')
  })

  test('65: is nobody outside of the call: EINVAL', async () => {
    let later: (() => Caller) | undefined
    const { client } = await newOpenDoor((_, context) => {
      later = () => context.caller
      return undefined
    })
    await client.call('x')
    expect(await codeOf(() => later?.())).toBe('EINVAL')
  })

  test('65: is nobody, when the caller has gone: EINVAL', async () => {
    let [running, code] = [false, '']
    const { client } = await newOpenDoor(async (_, context) => {
      running = true
      await new Promise((resolve) => {
        context.signal.addEventListener('abort', resolve)
      })
      await until(() => {
        try {
          return context.caller.pid < 0
        } catch (error) {
          code = (error as DoorError).code
          return true
        }
      })
    })
    const call = codeOf(() => client.call('x'))
    await until(() => running)
    client.close()
    expect(await call).toBe('EINTR')
    await until(() => code !== '')
    expect(code).toBe('EINVAL')
  })
})
