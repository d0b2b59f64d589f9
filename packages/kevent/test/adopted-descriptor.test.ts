import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs, { existsSync } from 'node:fs'
import net from 'node:net'
import { describe, expect, test } from 'vitest'
import { EVFILT_READ, EVFILT_WRITE, EV_ADD } from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { newFolder } from './fixtures/folder.ts'
import { change, codeOf, due, newFifo, newQueue } from './fixtures/queue.ts'

const openReadWrite = ({ path }: Fifo): number =>
  fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
const isOpen = (descriptor: number): boolean => existsSync(`/proc/self/fd/${descriptor}`)

describe('adopt', () => {
  test('close() removes the knotes and closes the descriptor, once', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const number = openReadWrite(fifo)
    const adopted = kq.adopt(number)
    expect(adopted.descriptor).toBe(number)
    change(kq, { ident: number, filter: EVFILT_READ, flags: EV_ADD })
    change(kq, { ident: number, filter: EVFILT_WRITE, flags: EV_ADD })
    adopted.close()
    expect(kq.list()).toEqual([])
    expect(isOpen(number)).toBe(false)
    expect(adopted.descriptor).toBe(-1)
    const next = openReadWrite(fifo) // has its number now
    expect(next).toBe(number)
    adopted.close()
    expect(isOpen(number)).toBe(true)
    fs.closeSync(next)
  })

  test('detach() removes the knotes, and whoever has the number owns the descriptor', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const number = openReadWrite(fifo)
    const adopted = kq.adopt(number)
    change(kq, { ident: number, filter: EVFILT_READ, flags: EV_ADD })
    expect(adopted.detach()).toBe(number)
    expect(kq.list()).toEqual([])
    fifo.write('x')
    expect(due(kq)).toEqual([])
    adopted[Symbol.dispose]()
    expect(isOpen(number)).toBe(true)
    fs.closeSync(number)
    expect(codeOf(() => adopted.detach())).toBe('EBADF')
  })

  test('X9: no child process inherits it', () => {
    const [kq, folder] = [newQueue(), newFolder()]
    const number = fs.openSync(folder, 'r')
    const adopted = kq.adopt(number)
    const { stdout } = spawnSync('/bin/sh', ['-c', `ls -l /proc/$$/fd`], { encoding: 'utf8' })
    expect(stdout).not.toContain(folder)
    adopted.detach()
    fs.closeSync(number)
  })

  test('what Node’s own loop reads is EBUSY, what it has paused is not', async () => {
    const kq = newQueue()
    for (const pauseOnConnect of [false, true]) {
      const server = net.createServer({ pauseOnConnect }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const connected = once(server, 'connection') as Promise<[net.Socket]>
      const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
      const [socket] = await connected
      const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
      if (pauseOnConnect) {
        const adopted = kq.adopt(fd)
        change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_ADD })
        client.write('ab')
        expect(await kq.wait()).toMatchObject([{ ident: fd, data: 2 }])
        expect(adopted.detach()).toBe(fd)
      } else {
        expect(codeOf(() => kq.adopt(fd))).toBe('EBUSY')
      }
      socket.destroy()
      client.destroy()
      server.close()
    }
  })

  test('what is not open is EBADF, and so is closing after the queue’s end was released', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const number = openReadWrite(fifo)
    expect(codeOf(() => kq.adopt(1e6))).toBe('EBADF')
    expect(codeOf(() => kq.adopt(-1))).toBe('EBADF')
    const adopted = kq.adopt(number)
    kq.release()
    expect(
      codeOf(() => {
        adopted.close()
      }),
    ).toBe('EBADF')
    expect(isOpen(number)).toBe(true)
    expect(adopted.detach()).toBe(number)
    expect(codeOf(() => kq.adopt(number))).toBe('EBADF')
    fs.closeSync(number)
  })
})
