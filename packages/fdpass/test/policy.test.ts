import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import { Fd, FdRefusedError, FdSocket, listen } from '../src/index.ts'
import type { FdPassEvent, ReceiveOptions } from '../src/index.ts'
import { FRAME_HEADER, writeFrameHeader } from '../src/frame.ts'
import { newFile, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import {
  accepted,
  codeOf,
  failure,
  isQuiet,
  links,
  newPair,
  rawToFramed,
  received,
} from './fixtures/sockets.ts'
import { newWitness } from './fixtures/witness.ts'

const refusal = (socket: FdSocket): FdRefusedError => {
  const error: unknown = failure(() => socket.recvSync({ timeout: 0 }))
  if (!(error instanceof FdRefusedError)) throw error
  expect([error.code, error.syscall]).toEqual(['EACCES', 'recvmsg'])
  return error
}

/** What is told on the channel while `call` runs. */
const discards = (call: () => void): FdPassEvent[] => {
  const events: FdPassEvent[] = []
  const listener = (event: unknown): void => {
    events.push(event as FdPassEvent)
  }
  subscribe('x.fdpass.discarded', listener)
  try {
    call()
  } finally {
    unsubscribe('x.fdpass.discarded', listener)
  }
  return events
}

describe.each(links)('a receiver of %s', (_, options) => {
  test('54, 56, 58: more than maxFds: all are closed, told of, and the next message is right', () => {
    const [a, b] = newPair({ ...options, maxFds: 1 })
    const witness = newWitness()
    const file = newFile('next')
    a.sendSync('two', [witness.fd, file])
    a.sendSync('next', [file])
    const events = discards(() => {
      const error = refusal(b)
      expect(error).toMatchObject({ closed: 2, kinds: [] })
      expect(error.data.toString()).toBe('two')
      expect(error.message).toContain('maxFds is 1')
    })
    expect(events).toEqual([{ count: 2, reason: 'refused' }])
    expect(witness.gone).toBe(true)
    const message = received(b)
    expect([message.data.toString(), textsOf(message)]).toEqual(['next', ['next']])
  })

  test('54, 56: what was refused does not come later, with a message that has none', () => {
    const [a, b] = newPair({ ...options, maxFds: 0 })
    const witness = newWitness()
    a.sendSync('a', [witness.fd])
    refusal(b)
    expect(isQuiet(b)).toBe(true)
    a.sendSync('aa')
    const message = received(b)
    expect([message.data.toString(), message.fdCount]).toEqual(['aa', 0])
  })

  test('a kind that is not allowed: all of its message are closed, and the kinds are told', () => {
    const [a, b] = newPair({ ...options, kinds: ['file'] })
    const witness = newWitness()
    const file = newFile('file')
    a.sendSync('mixed', [file, witness.fd])
    a.sendSync('files', [file, file])
    const events = discards(() => {
      expect(refusal(b)).toMatchObject({ closed: 2, kinds: ['file', 'unix-seqpacket'] })
    })
    expect(events).toEqual([{ count: 2, reason: 'refused' }])
    expect(witness.gone).toBe(true)
    expect(textsOf(received(b))).toEqual(['file', 'file'])
  })

  test('kinds does not mind messages without descriptors', () => {
    const [a, b] = newPair({ ...options, kinds: [] })
    a.sendSync('x')
    expect(received(b).fdCount).toBe(0)
    a.sendSync('x', [newFile()])
    refusal(b)
  })

  test('B1.17: rights: false is EPERM where descriptors are sent, and bytes go on', () => {
    const [a, b] = newPair({ ...options, rights: false })
    const file = newFile()
    expect(
      codeOf(() => {
        a.sendSync('x', [file])
      }),
    ).toBe('EPERM')
    expect(isQuiet(b)).toBe(true)
    a.sendSync('bytes')
    expect(received(b).data.toString()).toBe('bytes')
  })
})

describe('a receiver of a framed stream', () => {
  test('54, 56: refuses descriptors that come before the header is whole, and closes them at once', () => {
    const header = new DataView(new ArrayBuffer(FRAME_HEADER))
    for (const [promised, early] of [
      [3, 1],
      [3, 2],
      [3, 3],
      [0, 3],
    ] as const) {
      const [raw, framed] = rawToFramed({ maxFds: 1 })
      const [first, second] = [newWitness(), newWitness()]
      writeFrameHeader(header, 2, promised)
      raw.sendSync(new Uint8Array(header.buffer, 0, 4), Array<Fd>(early).fill(first.fd))
      expect(isQuiet(framed)).toBe(true)
      expect(first.gone).toBe(early > 1)
      raw.sendSync(new Uint8Array(header.buffer, 4), Array<Fd>(3 - early).fill(second.fd))
      raw.sendSync('xy')
      expect(refusal(framed).closed).toBe(3)
      expect([first.gone, second.gone]).toEqual([true, true])
      writeFrameHeader(header, 0, 1)
      raw.sendSync(new Uint8Array(header.buffer), [newFile('next')])
      expect(textsOf(received(framed))).toEqual(['next'])
    }
  })
})

describe('rules', () => {
  test('B1.17: rights: false of a listener is the rule of what it accepts', async () => {
    for (const type of ['stream', 'seqpacket'] as const) {
      const path = `${newFolder()}/socket`
      const listener = own(listen(path, { type, rights: false }))
      // Before anybody accepts: the kernel asks the listener's own option.
      const client = own(await FdSocket.connect(path, { type }))
      const file = newFile()
      expect(
        codeOf(() => {
          client.sendSync('early', [file])
        }),
      ).toBe('EPERM')
      const server = await accepted(listener)
      expect(
        codeOf(() => {
          client.sendSync('late', [file])
        }),
      ).toBe('EPERM')
      client.sendSync('bytes')
      expect(received(server).data.toString()).toBe('bytes')
      server.sendSync('x', [file])
      expect(received(client).fdCount).toBe(1)
    }
  })

  test('what a listener is told holds for each connection', async () => {
    const path = `${newFolder()}/socket`
    const listener = own(listen(path, { type: 'seqpacket', maxFds: 1, kinds: ['file'], maxBytes: 4 }))
    const client = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const server = await accepted(listener)
    const [file, folder] = [newFile(), own(Fd.open(newFolder(), 0))]
    client.sendSync('a', [file, file])
    client.sendSync('b', [folder])
    client.sendSync('c', [file])
    expect(refusal(server).closed).toBe(2)
    expect(refusal(server).kinds).toEqual(['directory'])
    expect(received(server).fdCount).toBe(1)
  })

  test.each<[string, ReceiveOptions & { type?: 'seqpacket' }]>([
    ['a number', { maxFds: 1.5 }],
    ['not negative', { maxFds: -1 }],
    ['at most 253 of a packet', { type: 'seqpacket', maxFds: 254 }],
    ['a size', { maxBytes: -1 }],
    ['boolean', { rights: 1 as never }],
    ['known', { maxfds: 1 } as never],
    ['for streams, which are framed', { type: 'seqpacket', framed: true }],
    ['for packets, which bring pidfds', { pidfd: true }],
  ])('an option is %s', (_, options) => {
    expect(codeOf(() => FdSocket.pair(options))).toBe('EINVAL')
  })
})
