import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_PROC,
  EVFILT_PROCDESC,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_EOF,
  EV_ONESHOT,
  NOTE_EXIT,
} from '../src/index.ts'
import { change, due, newFifo, newQueue, own, refused } from './fixtures/queue.ts'

const second = 1000
const exited = {
  filter: EVFILT_PROC,
  flags: EV_CLEAR | EV_EOF | EV_ONESHOT,
  fflags: NOTE_EXIT,
}

const start = (script: string): ChildProcess & { pid: number } =>
  own(spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })) as ChildProcess & { pid: number }

const add = (ident: number, fflags = NOTE_EXIT) => ({
  ident,
  filter: EVFILT_PROC,
  flags: EV_ADD,
  fflags,
  udata: 5,
})

describe('PROC', () => {
  test('a child’s end: its wait status, EOF, and the knote is gone', () => {
    const kq = newQueue()
    const fifo = newFifo()
    const { pid } = start(`read x <${fifo.path}; exit 7`)
    change(kq, add(pid))
    expect(due(kq)).toEqual([])
    fifo.write('\n')
    // This thread blocks, so that nobody reaps the child before.
    expect(kq.kevent(null, 8, 10 * second)).toEqual([{ ...exited, ident: pid, data: 7 << 8, udata: 5 }])
    expect(refused(kq, { ident: pid, filter: EVFILT_PROC, flags: EV_DELETE })).toBe('ENOENT')
  })

  test('killed by a signal', () => {
    const kq = newQueue()
    const child = start('read x')
    change(kq, add(child.pid))
    child.kill('SIGKILL')
    expect(kq.kevent(null, 8, 10 * second)).toMatchObject([{ ...exited, data: 9 }])
  })

  test('P2: a zombie: at once', () => {
    const [first, second_] = [newQueue(), newQueue()]
    const { pid } = start('exit 3')
    change(first, add(pid))
    expect(first.kevent(null, 8, 10 * second)).toHaveLength(1)
    change(second_, add(pid)) // it has ended, and is not reaped before the event loop turns
    expect(due(second_)).toMatchObject([{ ...exited, data: 3 << 8 }])
  })

  test('P3: no such process: ESRCH', async () => {
    const kq = newQueue()
    const child = start('exit 0')
    await once(child, 'exit')
    for (const ident of [child.pid, 0, -1, 2 ** 31, 2 ** 40]) {
      expect(refused(kq, add(ident))).toBe('ESRCH')
    }
  })

  test('a process that is no child: the event comes, with what is known of its status', async () => {
    const kq = newQueue()
    const fifo = newFifo()
    const parent = start(`sh -c "read x <${fifo.path}; exit 4" & echo $!; wait`)
    const [line] = (await once(parent.stdout!, 'data')) as [Buffer]
    const pid = Number(line.toString())
    change(kq, add(pid))
    fifo.write('\n')
    const [event] = kq.kevent(null, 8, 10 * second)
    expect(event).toMatchObject({ ...exited, ident: pid })
    expect([-1, 4 << 8]).toContain(event!.data)
  })

  test('P5: FORK, EXEC, TRACK, nothing: EINVAL', () => {
    const kq = newQueue()
    for (const fflags of [0x40000000, 0x20000000, 1, 0, NOTE_EXIT | 0x40000000]) {
      expect(refused(kq, add(process.pid, fflags))).toBe('EINVAL')
    }
    expect(kq.list()).toEqual([])
  })

  test('its descriptor goes with it: EV_DELETE, close', () => {
    const before = readdirSync('/proc/self/fd').length
    const kq = newQueue()
    change(kq, add(process.pid))
    expect(readdirSync('/proc/self/fd').length).toBe(before + 3)
    change(kq, { ident: process.pid, filter: EVFILT_PROC, flags: EV_DELETE })
    expect(readdirSync('/proc/self/fd').length).toBe(before + 2)
    change(kq, add(process.pid))
    kq.close()
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })
})

describe('PROCDESC', () => {
  test('of what is no pidfd: EINVAL; of what is not open: EBADF', () => {
    const kq = newQueue()
    const change_ = (ident: number) => ({
      ident,
      filter: EVFILT_PROCDESC,
      flags: EV_ADD,
      fflags: NOTE_EXIT,
    })
    expect(refused(kq, change_(0))).toBe('EINVAL')
    for (const ident of [-1, 1e6]) {
      expect(refused(kq, change_(ident))).toBe('EBADF')
    }
  })
})
