import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants, writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { EVFILT_READ, EV_ADD, EV_DELETE } from '../src/index.ts'
import type { KQueue } from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { change, codeOf, due, newFifo, newQueue, own, refused } from './fixtures/queue.ts'
import { connect, descriptorOf, send } from './fixtures/sockets.ts'

/** Another process that has a copy of the descriptor: what was watched lives on when it is closed here. */
const copied = (fd: number): ChildProcess => {
  const child = spawn('cat', [], { stdio: ['pipe', 'ignore', 'ignore', fd] })
  own({ [Symbol.dispose]: () => child.kill() })
  return child
}

const watch = (kq: KQueue, fd: number, udata = 0): void => {
  change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_ADD, udata })
}

const remove = (kq: KQueue, fd: number): string =>
  refused(kq, { ident: fd, filter: EVFILT_READ, flags: EV_DELETE })

/** A FIFO whose first descriptor is watched, and has a copy elsewhere; `writer` is another one. */
const withCopy = (kq: KQueue): { fifo: Fifo; writer: number; child: ChildProcess } => {
  const fifo = newFifo()
  const writer = fifo.open(constants.O_RDWR)
  watch(kq, fifo.fd, 1)
  return { fifo, writer, child: copied(fifo.fd) }
}

/**
 * Nothing comes, and the queue does not turn in circles: one edge may have to be thrown away. It blocks, so that
 * nobody gets the descriptor's number meanwhile.
 */
const silent = (kq: KQueue): void => {
  const { slept } = kq.counters()
  const cpu = process.cpuUsage()
  expect(kq.kevent(null, 8, 200)).toEqual([])
  const { user, system } = process.cpuUsage(cpu)
  if (isMainThread) expect((user + system) / 1000).toBeLessThan(100) // a thread has others beside it
  expect(kq.counters().slept - slept).toBeLessThan(10)
}

describe('a descriptor that is closed behind the queue, while a copy of it lives', () => {
  test('X1: brings no event, and no spinning', () => {
    const kq = newQueue()
    const { fifo, writer } = withCopy(kq)
    silent(kq) // what a first wait opens does not get the number
    fifo.write('x')
    fifo.close()
    silent(kq)
    writeSync(writer, 'y')
    silent(kq)
  })

  test('X4: its number, used anew, is one knote, of the new file', () => {
    const kq = newQueue()
    const { fifo, writer } = withCopy(kq)
    fifo.close()
    const second = newFifo()
    const fd = second.fd === fifo.fd ? second.fd : second.open(constants.O_RDWR)
    expect(fd).toBe(fifo.fd)
    watch(kq, fd, 2)
    writeSync(writer, 'x')
    expect(due(kq)).toEqual([])
    second.write('yy')
    expect(due(kq)).toMatchObject([{ ident: fd, udata: 2, data: 2 }])
    change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_DELETE })
    expect(remove(kq, fd)).toBe('ENOENT')
    expect(due(kq)).toEqual([])
  })

  test('X8: nor does one that was sent to another process by SCM_RIGHTS', async () => {
    const kq = newQueue()
    const { near, far } = await connect()
    const child = spawn(
      process.execPath,
      [
        '-e',
        "process.on('message', (_, socket) => { globalThis.socket = socket; process.send('received') })",
      ],
      { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    )
    own({ [Symbol.dispose]: () => child.kill() })
    watch(kq, descriptorOf(near))
    child.send('a socket', near, { keepOpen: true })
    await once(child, 'message')
    near.destroy()
    await once(near, 'close')
    await send(far, 'x')
    silent(kq)
    await send(far, 'y')
    silent(kq)
  })
})

describe('a descriptor that is closed by the queue', () => {
  test('X9: while a child has inherited a copy: no event, no spinning, and no edge either', () => {
    const kq = newQueue()
    const { fifo, writer } = withCopy(kq)
    // In a thread Node keeps a list of what it has opened, and closes these numbers at the thread's end.
    if (isMainThread) {
      kq.closeDescriptor(fifo.fd)
      fifo.forget()
    } else {
      kq.detach(fifo.fd)
      fifo.close()
    }
    expect(kq.list()).toEqual([])
    expect(
      codeOf(() => {
        kq.closeDescriptor(fifo.fd)
      }),
    ).toBe('EBADF')
    const { stale } = kq.counters()
    writeSync(writer, 'x')
    silent(kq)
    expect(kq.counters().stale).toBe(stale)
  })
})
