import { spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { EVFILT_SIGNAL, EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE } from '../src/index.ts'
import type { KQueue } from '../src/index.ts'
import { change, due, newQueue, own, refused } from './fixtures/queue.ts'

const { SIGUSR2, SIGWINCH, SIGURG, SIGPIPE, SIGKILL, SIGSTOP } = constants.signals

const watch = (signal: number): KQueue => {
  const kq = newQueue()
  change(kq, { ident: signal, filter: EVFILT_SIGNAL, flags: EV_ADD, udata: 1 })
  return kq
}

// kill(2) returns when the signal is delivered, if the calling thread is the one that takes it. With other
// threads about another may: so the event is waited for.
const next = (kq: KQueue): unknown[] => kq.kevent(null, 8, 10_000)

const dispositions = (): string =>
  spawnSync('grep', ['-E', 'SigIgn|SigCgt', `/proc/${process.pid}/status`], {
    encoding: 'utf8',
  }).stdout

describe('SIGNAL', () => {
  test('counts what the process is sent', () => {
    const kq = watch(SIGWINCH)
    expect(due(kq)).toEqual([])
    process.kill(process.pid, SIGWINCH)
    expect(next(kq)).toEqual([
      {
        ident: SIGWINCH,
        filter: EVFILT_SIGNAL,
        flags: EV_CLEAR,
        fflags: 0,
        data: 1,
        udata: 1,
      },
    ])
    expect(due(kq)).toEqual([])
  })

  test('S3: what comes while it is disabled counts', () => {
    const kq = watch(SIGURG)
    change(kq, { ident: SIGURG, filter: EVFILT_SIGNAL, flags: EV_DISABLE })
    const other = watch(SIGURG)
    process.kill(process.pid, SIGURG)
    expect(next(other)).toHaveLength(1) // it has been delivered
    expect(due(kq)).toEqual([])
    change(kq, { ident: SIGURG, filter: EVFILT_SIGNAL, flags: EV_ENABLE })
    process.kill(process.pid, SIGURG)
    expect(next(other)).toHaveLength(1)
    expect(due(kq)).toMatchObject([{ data: 2 }])
  })

  test('an ignored signal is recorded, and stays ignored', () => {
    const before = dispositions()
    const kq = watch(SIGPIPE) // Node ignores it
    process.kill(process.pid, SIGPIPE)
    expect(next(kq)).toMatchObject([{ ident: SIGPIPE, data: 1 }])
    change(kq, { ident: SIGPIPE, filter: EVFILT_SIGNAL, flags: EV_DELETE })
    expect(dispositions()).toBe(before)
  })

  test('S5: bad numbers, SIGKILL, SIGSTOP: EINVAL', () => {
    const kq = newQueue()
    for (const ident of [0, -1, 65, 2 ** 40, SIGKILL, SIGSTOP]) {
      expect(refused(kq, { ident, filter: EVFILT_SIGNAL, flags: EV_ADD })).toBe('EINVAL')
    }
    expect(kq.list()).toEqual([])
  })

  test('two queues have each the whole count; the disposition goes back with the last', () => {
    const before = dispositions()
    const [first, second] = [watch(SIGWINCH), watch(SIGWINCH)]
    process.kill(process.pid, SIGWINCH)
    expect(next(first)).toHaveLength(1)
    expect(next(second)).toHaveLength(1)
    first.close()
    process.kill(process.pid, SIGWINCH)
    expect(next(second)).toHaveLength(1)
    second.close()
    expect(dispositions()).toBe(before)
  })

  test('wakes a wait in the event loop', async () => {
    const kq = watch(SIGWINCH)
    const wait = kq.wait({ timeout: 10_000 })
    process.kill(process.pid, SIGWINCH)
    expect(await wait).toMatchObject([{ data: 1 }])
  })
})

// A worker thread cannot listen to signals.
describe.runIf(isMainThread)('SIGNAL beside the handlers of Node', () => {
  const listen = (signal: NodeJS.Signals): { count: number } & Disposable => {
    const listener = (): void => {
      heard.count++
    }
    const heard = {
      count: 0,
      [Symbol.dispose]: () => {
        process.off(signal, listener)
      },
    }
    process.on(signal, listener)
    return own(heard)
  }

  test('one that was there before goes on', async () => {
    const heard = listen('SIGUSR2')
    const kq = watch(SIGUSR2)
    process.kill(process.pid, SIGUSR2)
    expect(next(kq)).toMatchObject([{ data: 1 }])
    while (heard.count < 1) await setImmediate()
    kq.close()
    process.kill(process.pid, SIGUSR2)
    while (heard.count < 2) await setImmediate()
  })

  test('one that comes later is found by the next EV_ADD, EV_ENABLE, or wait', async () => {
    const kq = watch(SIGUSR2 - 2) // SIGUSR1 is the debugger's: its handler stays
    kq.close()
    const winch = watch(SIGWINCH)
    const heard = listen('SIGWINCH')
    change(winch, { ident: SIGWINCH, filter: EVFILT_SIGNAL, flags: EV_ENABLE })
    process.kill(process.pid, SIGWINCH)
    expect(next(winch)).toMatchObject([{ data: 1 }])
    while (heard.count < 1) await setImmediate()
    heard[Symbol.dispose]() // libuv takes its handler away, and with it ours
    const wait = winch.wait({ timeout: 10_000 })
    await setImmediate()
    process.kill(process.pid, SIGWINCH)
    expect(await wait).toMatchObject([{ data: 1 }])
  })

  test('the default action is taken: a watched SIGTERM still ends the process', () => {
    const script = `
      import { KQueue, EVFILT_SIGNAL, EV_ADD } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
      new KQueue().kevent([{ ident: 15, filter: EVFILT_SIGNAL, flags: EV_ADD }])
      process.kill(process.pid, 'SIGTERM')
      setTimeout(() => process.exit(1), 10_000)`
    const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script])
    expect(signal).toBe('SIGTERM')
  })
})
