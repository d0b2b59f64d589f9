import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FdPassError,
  FdSocket,
  notify,
  notifyBarrier,
  notifyBarrierSync,
  notifySync,
  type NotifyOptions,
  type NotifyState,
} from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { assignmentsOf, NotifyListener } from './fixtures/notify-listener.ts'
import { node, Service } from './fixtures/service.ts'
import { setVariables, variablesSet } from './fixtures/variables.ts'

const open = (): number => readdirSync('/proc/self/fd').length

const newPair = (): [FdSocket, FdSocket] => {
  const ends = FdSocket.pair()
  for (const end of ends) own(end)
  return ends
}

/** Fills the manager's queue, so that the next message has to wait. Returns how many there are. */
const fill = async (): Promise<number> => {
  for (let count = 0; ; count++) {
    try {
      await notify({ status: String(count) }, { timeout: 0 })
    } catch (error) {
      expect(error).toMatchObject({ code: 'ETIMEDOUT' })
      return count
    }
  }
}

describe('notify', () => {
  test('without NOTIFY_SOCKET: false', async () => {
    setVariables({ NOTIFY_SOCKET: undefined })
    expect(await notify({ ready: true })).toBe(false)
    expect(notifySync({ ready: true })).toBe(false)
    expect(await notifyBarrier()).toBe(false)
    expect(notifyBarrierSync()).toBe(false)
  })

  test('every field is an assignment of its own', async () => {
    const manager = NotifyListener.start()
    const before = process.hrtime.bigint() / 1000n
    expect(
      await notify({
        ready: true,
        reloading: true,
        stopping: true,
        status: 'all of it = 100 %',
        errno: 2,
        busError: 'org.freedesktop.DBus.Error.TimedOut',
        mainPid: 4711,
        watchdog: true,
        watchdogUsec: 20_000_000,
        extendTimeoutUsec: 5_000_000,
        extra: { X_ORG_EXAMPLE: 'a=b', RESTART_RESET: '1' },
      }),
    ).toBe(true)
    const { MONOTONIC_USEC, ...others } = await manager.hears()
    expect(others).toEqual({
      READY: '1',
      RELOADING: '1',
      STOPPING: '1',
      STATUS: 'all of it = 100 %',
      ERRNO: '2',
      BUSERROR: 'org.freedesktop.DBus.Error.TimedOut',
      MAINPID: '4711',
      WATCHDOG: '1',
      WATCHDOG_USEC: '20000000',
      EXTEND_TIMEOUT_USEC: '5000000',
      X_ORG_EXAMPLE: 'a=b',
      RESTART_RESET: '1',
    })
    const time = BigInt(MONOTONIC_USEC ?? 0)
    expect(time >= before && time <= process.hrtime.bigint() / 1000n).toBe(true)
  })

  test('watchdog: trigger; an errno as errors of Node have it; an empty status', async () => {
    const manager = NotifyListener.start()
    await notify({ watchdog: 'trigger', errno: -111, status: '' })
    expect(await manager.hears()).toEqual({ WATCHDOG: 'trigger', ERRNO: '111', STATUS: '' })
  })

  test('an abstract name, and the synchronous form', async () => {
    const manager = NotifyListener.at(`\0fdpass-${process.pid}-notify`)
    expect(notifySync({ ready: true })).toBe(true)
    expect(await manager.hears()).toEqual({ READY: '1' })
  })

  test('a path that is longer than an address', async () => {
    const manager = NotifyListener.at(`${newFolder()}/${'n'.repeat(120)}`)
    expect(await notify({ ready: true })).toBe(true)
    expect(await manager.hears()).toEqual({ READY: '1' })
  })

  test('unset: the variable is gone, whether the message went or not', async () => {
    const manager = NotifyListener.start()
    expect(await notify({ ready: true }, { unset: true })).toBe(true)
    expect(await manager.hears()).toEqual({ READY: '1' })
    expect(variablesSet('NOTIFY_SOCKET')).toEqual([])
    expect(await notify({ stopping: true })).toBe(false)
    setVariables({ NOTIFY_SOCKET: `${newFolder()}/nobody` })
    expect(() => notifySync({ ready: true }, { unset: true })).toThrow(/ENOENT/)
    expect(variablesSet('NOTIFY_SOCKET')).toEqual([])
  })

  test('the manager is told who sends it; and another pid, by whom that is allowed', async () => {
    const manager = NotifyListener.start()
    await notify({ ready: true })
    const { pid, getuid, getgid } = process as Required<NodeJS.Process>
    const own = { pid, uid: getuid(), gid: getgid() }
    expect((await manager.next()).credentials).toEqual(own)
    await notify({ ready: true }, { pid })
    expect((await manager.next()).credentials).toEqual(own)
    if (getuid() === 0) {
      await notify({ ready: true }, { pid: process.ppid })
      expect((await manager.next()).credentials).toEqual({ ...own, pid: process.ppid })
      expect(() => notifySync({ ready: true }, { pid: 0x7fffffff })).toThrow(/ESRCH/)
    } else expect(() => notifySync({ ready: true }, { pid: process.ppid })).toThrow(/EPERM/)
  })

  test('descriptors go along, and stay open', async () => {
    const manager = NotifyListener.start()
    const [end, other] = newPair()
    await notify({ extra: { MAINPIDFD: '1' } }, { fds: [end, other.fd] })
    const message = await manager.next()
    expect(message.fds.map(({ kind }) => kind)).toEqual(['unix-stream', 'unix-stream'])
    await end.send('still here')
    expect((await other.recv())?.data.toString()).toBe('still here')
  })

  test('any line that a field takes arrives as it was', async () => {
    const manager = NotifyListener.start()
    const line = fc.string({ unit: 'binary', maxLength: 500 }).filter((text) => !/[\n\r\0]/.test(text))
    await fc.assert(
      fc.asyncProperty(line, line, async (status, value) => {
        await notify({ status, extra: { X_VALUE: value } })
        expect(assignmentsOf(await manager.next())).toEqual([
          ['STATUS', status],
          ['X_VALUE', value],
        ])
      }),
    )
  })
})

describe('the manager’s queue is full', () => {
  test('messages wait, and go in the order of the calls, with their descriptors', async () => {
    const manager = NotifyListener.start()
    const before = open()
    const count = await fill()
    const [end, other] = FdSocket.pair()
    const waiting = [
      notify({ status: 'first' }, { fds: [end] }),
      notify({ status: 'second' }),
      notify({ status: 'third' }, { unset: true }),
    ]
    end.close()
    other.close()
    for (let index = 0; index < count; index++) {
      expect(await manager.hears()).toEqual({ STATUS: String(index) })
    }
    const first = await manager.next()
    expect([assignmentsOf(first), first.fdCount]).toEqual([[['STATUS', 'first']], 1])
    first.close()
    expect(await manager.hears()).toEqual({ STATUS: 'second' })
    expect(await manager.hears()).toEqual({ STATUS: 'third' })
    expect(await Promise.all(waiting)).toEqual([true, true, true])
    expect(open()).toBeLessThanOrEqual(before + 1) // what the event loop has for good
  })

  test('a timeout, a signal: the message is not sent', async () => {
    const manager = NotifyListener.start()
    const count = await fill()
    await expect(notify({ ready: true }, { timeout: 1 })).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    expect(() => notifySync({ ready: true }, { timeout: 1 })).toThrow(/ETIMEDOUT/)
    const controller = new AbortController()
    const aborted = notify({ ready: true }, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    await expect(notify({ ready: true }, { signal: controller.signal })).rejects.toThrow('enough')
    for (let index = 0; index < count; index++) await manager.next()
    expect(manager.silent).toBe(true)
  })

  test('the synchronous form comes after those that wait', async () => {
    const manager = NotifyListener.start()
    const count = await fill()
    const waiting = notify({ status: 'first' })
    const reader = Service.start(
      node(`
        const socket = f.FdSocket.from(3)
        for (let count = ${count}; count > 0; count--) await socket.recv()
        for (let count = 2; count > 0; count--) tell((await socket.recv()).data.toString())`),
      { fds: [manager.socket] },
    )
    expect(notifySync({ status: 'second' })).toBe(true)
    expect(await waiting).toBe(true)
    expect([await reader.tells(), await reader.tells()]).toEqual(['STATUS=first', 'STATUS=second'])
  })
})

describe('refused, and nothing is sent or unset', () => {
  test.each<[string, unknown]>([
    ['no state', undefined],
    ['an empty one', {}],
    ['a field that is not known', { ready: true, readdy: true }],
    ['ready: false', { ready: false }],
    ['reloading: 1', { reloading: 1 }],
    ['a status of two lines', { status: 'one\nREADY=1' }],
    ['a status with CR, at which systemd ends a line too', { status: 'one\rREADY=1' }],
    ['a status with NUL', { status: 'one\0' }],
    ['a status that is no string', { status: 1 }],
    ['errno: 0', { errno: 0 }],
    ['errno: a name', { errno: 'ENOENT' }],
    ['busError of two lines', { busError: 'a\nb' }],
    ['mainPid: 0', { mainPid: 0 }],
    ['mainPid: half a process', { mainPid: 0.5 }],
    ['watchdog: false', { watchdog: false }],
    ['watchdogUsec: negative', { watchdogUsec: -1 }],
    ['extendTimeoutUsec: 0', { extendTimeoutUsec: 0 }],
    ['extendTimeoutUsec: for ever', { extendTimeoutUsec: Infinity }],
    ['extra that is no object', { extra: 'X=1' }],
    ['extra: a name with =', { extra: { 'X=Y': '1' } }],
    ['extra: a name in small letters', { extra: { ready: '1' } }],
    ['extra: a value of two lines', { extra: { X_VALUE: '1\nREADY=1' } }],
    ['extra: what has a field', { extra: { READY: '1' } }],
    ['extra: what is no state', { extra: { BARRIER: '1' } }],
  ])('%s: EINVAL', async (_, state) => {
    const manager = NotifyListener.start()
    const options = { unset: true }
    await expect(notify(state as NotifyState, options)).rejects.toMatchObject({ code: 'EINVAL' })
    expect(() => notifySync(state as NotifyState, options)).toThrow(FdPassError)
    expect(variablesSet('NOTIFY_SOCKET')).toEqual(['NOTIFY_SOCKET'])
    expect(manager.silent).toBe(true)
  })

  test('what the manager would ignore because of its length: EMSGSIZE', async () => {
    const manager = NotifyListener.start()
    const status = 'ü'.repeat((4096 - 'STATUS=.'.length) / 2)
    await expect(notify({ status: `${status}..` })).rejects.toMatchObject({ code: 'EMSGSIZE' })
    expect(manager.silent).toBe(true)
    expect(await notify({ status: `${status}.` })).toBe(true)
    expect((await manager.next()).data.length).toBe(4096)
  })

  test.each<[string, string, NotifyOptions]>([
    ['an option that is not known', 'EINVAL', { block: true } as never],
    ['unset: 1', 'EINVAL', { unset: 1 } as never],
    ['a timeout that is none', 'EINVAL', { timeout: -1 }],
    ['pid: 0', 'EINVAL', { pid: 0 }],
    ['254 descriptors', 'EINVAL', { fds: Array<number>(254).fill(0) }],
    ['a descriptor that is not open', 'EBADF', { fds: [0, 60_000] }],
    ['a descriptor that is none', 'EBADF', { fds: [-1] }],
  ])('%s: %s', async (_, code, options) => {
    const manager = NotifyListener.start()
    await expect(notify({ ready: true }, { unset: true, ...options })).rejects.toMatchObject({ code })
    expect(() => notifySync({ ready: true }, { unset: true, ...options })).toThrow(FdPassError)
    expect(variablesSet('NOTIFY_SOCKET')).toEqual(['NOTIFY_SOCKET'])
    expect(manager.silent).toBe(true)
  })

  test.each([
    ['', 'EINVAL'],
    ['relative/path', 'EINVAL'],
    ['/', 'EINVAL'],
    ['@', 'EINVAL'],
    ['vsock:2:1234', 'EAFNOSUPPORT'],
    ['vsock-stream:2:1234', 'EAFNOSUPPORT'],
    ['/nowhere/notify', 'ENOENT'],
    ['@fdpass-nobody-has-this', 'ECONNREFUSED'],
  ])('NOTIFY_SOCKET=%s: %s', async (name, code) => {
    setVariables({ NOTIFY_SOCKET: name })
    const before = open()
    await expect(notify({ ready: true })).rejects.toMatchObject({ code })
    await expect(notifyBarrier()).rejects.toMatchObject({ code })
    expect(open()).toBe(before)
  })
})

describe('notifyBarrier', () => {
  test('resolves when the manager has closed what came with it', async () => {
    const manager = NotifyListener.start()
    await notify({ ready: true })
    let done = false
    const barrier = notifyBarrier().then((result) => {
      done = true
      return result
    })
    expect(await manager.hears()).toEqual({ READY: '1' })
    const message = await manager.next()
    expect([message.data.toString(), message.fdCount]).toEqual(['BARRIER=1', 1])
    await expect(notifyBarrier({ timeout: 1 })).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    expect(done).toBe(false)
    message.close()
    expect(await barrier).toBe(true)
  })

  test('a signal ends the wait, a manager that goes away does too', async () => {
    const manager = NotifyListener.start()
    const controller = new AbortController()
    const aborted = notifyBarrier({ signal: controller.signal })
    const barrier = notifyBarrier({ unset: true })
    expect(variablesSet('NOTIFY_SOCKET')).toEqual([])
    controller.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    manager.socket.close()
    expect(await barrier).toBe(true)
  })

  test('the synchronous form', async () => {
    const manager = NotifyListener.start()
    expect(() => notifyBarrierSync({ timeout: 1 })).toThrow(/ETIMEDOUT/)
    ;(await manager.next()).close()
    Service.start(node('(await f.FdSocket.from(3).recv()).close()'), { fds: [manager.socket] })
    expect(notifyBarrierSync()).toBe(true)
  })

  test('unknown options: EINVAL; no descriptor is left by any of it', async () => {
    const manager = NotifyListener.start()
    await expect(notifyBarrier({ time: 1 } as never)).rejects.toMatchObject({ code: 'EINVAL' })
    expect(() => notifyBarrierSync({ signal: undefined } as never)).toThrow(FdPassError)
    expect(manager.silent).toBe(true)
    const barrier = notifyBarrier()
    ;(await manager.next()).close()
    expect(await barrier).toBe(true)
    const before = open()
    for (let round = 0; round < 20; round++) await notifyBarrier({ timeout: 0.1 }).catch(() => undefined)
    while (!manager.silent);
    expect(open()).toBe(before)
  })
})

describe('systemd-notify', () => {
  const help = spawnSync('systemd-notify', ['--help'], { encoding: 'utf8' }).stdout

  test('--ready --status --pid: what it sends is read, and its barrier let go', async () => {
    const manager = NotifyListener.start()
    const tool = Service.start([
      'systemd-notify',
      '--ready',
      '--status=half the way, 50 %',
      `--pid=${process.pid}`,
      'X_EXTRA=a=b',
    ])
    const message = await manager.next()
    expect(Object.fromEntries(assignmentsOf(message))).toEqual({
      READY: '1',
      STATUS: 'half the way, 50 %',
      MAINPID: String(process.pid),
      X_EXTRA: 'a=b',
    })
    expect(message.credentials?.uid).toBe(process.getuid?.())
    const barrier = await manager.next()
    expect([barrier.data.toString(), barrier.fds.map(({ kind }) => kind)]).toEqual(['BARRIER=1', ['pipe']])
    barrier.close()
    expect(await tool.ended).toEqual([0, null])
  })

  test('--no-block does not wait', async () => {
    const manager = NotifyListener.start()
    const tool = Service.start(['systemd-notify', '--no-block', '--ready'])
    expect(await manager.hears()).toEqual({ READY: '1' })
    expect(await tool.ended).toEqual([0, null])
    expect(manager.silent).toBe(true)
  })

  test('it is told off as we are where nobody listens', async () => {
    setVariables({ NOTIFY_SOCKET: `${newFolder()}/nobody` })
    const tool = Service.start(['systemd-notify', '--ready'])
    expect((await tool.ended)[0]).not.toBe(0)
    await expect(notify({ ready: true })).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test.runIf(help.includes('--fd='))('--fd, --fdname (from systemd 254 on)', async () => {
    const manager = NotifyListener.start()
    const tool = Service.start(['systemd-notify', '--fd=3', '--fdname=state', 'FDSTORE=1'], {
      fds: [newPair()[0]],
    })
    const message = await manager.next()
    expect(Object.fromEntries(assignmentsOf(message))).toEqual({ FDSTORE: '1', FDNAME: 'state' })
    expect(message.fds.map(({ kind }) => kind)).toEqual(['unix-stream'])
    ;(await manager.next()).close()
    expect(await tool.ended).toEqual([0, null])
  })
})
