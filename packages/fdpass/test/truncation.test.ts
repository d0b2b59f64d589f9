import { describe, expect, test } from 'vitest'
import { links } from './fixtures/sockets.ts'
import { program, withLimit } from './fixtures/program.ts'

/** Fills the table of a process, but for a few places; `free()` makes all of the room again. */
const fill = `
const fill = (room) => {
  const taken = []
  try { for (;;) taken.push(fs.openSync('/dev/null')) } catch (error) { assert.equal(error.code, 'EMFILE') }
  for (let i = 0; i < room; i++) fs.closeSync(taken.pop())
  return () => { for (const fd of taken) fs.closeSync(fd) }
}
/** A descriptor, and whether anybody has it besides. */
const witness = () => {
  const [end, other] = FdSocket.pair({ type: 'seqpacket' })
  return { other, gone: () => { other.close(); try { return end.recvSync({ timeout: 0 }) === null } catch { return false } } }
}
const truncation = async (call) => {
  try { await call() } catch (error) {
    assert(error instanceof FdTruncatedError, String(error))
    return [error.code, error.syscall, error.data.toString(), error.closed]
  }
  assert.fail('it was not truncated')
}
/** Asks the poller for a wait once: what it opens is there from then on. */
const warm = async (socket) => { assert.equal(await codeOf(() => socket.recv({ timeout: 1 })), 'ETIMEDOUT') }
`

describe.each(links)('a full table of descriptors, of a receiver of %s', (_, options) => {
  const pair = `const [a, b] = FdSocket.pair(${JSON.stringify(options)})\n`

  test.each([
    [1, 0],
    [2, 1],
    [5, 2],
    [5, 4],
  ])(
    'B1.9, 18, 54, 93: %i sent, room for %i: what came is closed, the message is told, and the next one is right',
    async (sent, room) => {
      const outcome = await program(
        `${fill}${pair}await warm(b)
        const w = witness(), next = fs.openSync('/proc/self/stat')
        a.sendSync('lost', Array(${sent}).fill(w.other))
        const free = fill(${room}), before = openCount()
        const told = await truncation(() => b.recvSync({ timeout: 0 }))
        const after = openCount()
        free()
        a.sendSync('next', [next])
        const message = b.recvSync({ timeout: 0 })
        const { ino } = message.fds[0].stat()
        print([told, after - before, w.gone(), message.data.toString(), ino === fs.fstatSync(next).ino])`,
        { through: withLimit(64) },
      )
      expect(outcome).toEqual([['EMFILE', 'recvmsg', 'lost', room], 0, true, 'next', true])
    },
  )

  test('B1.9, 56: a receiver that waits is told too, and what was lost does not come with a later message', async () => {
    const outcome = await program(
      `${fill}${pair}await warm(b)
      const w = witness()
      const told = truncation(() => b.recv())
      const free = fill(1), before = openCount()
      a.sendSync('lost', [w.other, w.other, w.other])
      const result = await told
      const after = openCount()
      free()
      a.sendSync('none')
      const message = await b.recv()
      print([result, after - before, w.gone(), message.data.toString(), message.fdCount])`,
      { through: withLimit(64) },
    )
    expect(outcome).toEqual([['EMFILE', 'recvmsg', 'lost', 1], 0, true, 'none', 0])
  })

  test('what fits in the last places comes whole', async () => {
    const outcome = await program(
      `${fill}${pair}
      a.sendSync('fits', [0, 1, 2])
      const free = fill(3)
      const message = b.recvSync({ timeout: 0 })
      const count = message.fds.length
      const code = await codeOf(() => fs.openSync('/dev/null'))
      message.close()
      free()
      print([count, code])`,
      { through: withLimit(64) },
    )
    expect(outcome).toEqual([3, 'EMFILE'])
  })
})

describe('frames', () => {
  test('B1.9: only the frame whose descriptors were lost is damaged, those beside it are whole', async () => {
    const outcome = await program(
      `${fill}const [a, b] = FdSocket.pair()
      const w = witness(), file = fs.openSync('/proc/self/stat')
      a.sendSync('first', [file])
      a.sendSync('between')
      a.sendSync('damaged', Array(5).fill(w.other))
      a.sendSync('after')
      a.sendSync('last', [file])
      const free = fill(3), before = openCount()
      const first = b.recvSync({ timeout: 0 })
      const between = b.recvSync({ timeout: 0 })
      const told = await truncation(() => b.recvSync({ timeout: 0 }))
      const after = b.recvSync({ timeout: 0 })
      const last = b.recvSync({ timeout: 0 })
      const counts = [first, between, after, last].map((message) => [message.data.toString(), message.fdCount])
      for (const message of [first, last]) message.close()
      const left = openCount() - before
      free()
      print([counts, told, left, w.gone()])`,
      { through: withLimit(64) },
    )
    expect(outcome).toEqual([
      [
        ['first', 1],
        ['between', 0],
        ['after', 0],
        ['last', 1],
      ],
      ['EMFILE', 'recvmsg', 'damaged', 2],
      0,
      true,
    ])
  })

  test('B1.9: a frame whose later descriptors were lost loses all of them', async () => {
    const outcome = await program(
      `${fill}const [a, b] = FdSocket.pair()
      const w = witness()
      a.sendSync('split', Array(600).fill(w.other))
      a.sendSync('next', [0])
      const free = fill(300), before = openCount()
      const told = await truncation(() => b.recvSync({ timeout: 0 }))
      const left = openCount() - before
      const message = b.recvSync({ timeout: 0 })
      print([told, left, w.gone(), message.data.toString(), message.fdCount])`,
      { through: withLimit(512) },
    )
    expect(outcome).toEqual([['EMFILE', 'recvmsg', 'split', 300], 0, true, 'next', 1])
  })
})

describe('a full table', () => {
  test.each(links.slice(1))('loses a pidfd as it loses a descriptor, of %s', async (_, options) => {
    const outcome = await program(
      `${fill}const [a, b] = FdSocket.pair(${JSON.stringify({ ...options, pidfd: true })})
      a.sendSync('lost')
      const free = fill(0), before = openCount()
      const alone = await truncation(() => b.recvSync({ timeout: 0 }))
      free()
      a.sendSync('half', [0])
      const again = fill(1)
      const beside = await truncation(() => b.recvSync({ timeout: 0 }))
      const left = openCount() - before
      again()
      a.sendSync('next', [0])
      const message = b.recvSync({ timeout: 0 })
      print([alone, beside, left, message.pidfd.kind, message.fdCount])`,
      { through: withLimit(64) },
    )
    expect(outcome).toEqual([
      ['EMFILE', 'recvmsg', 'lost', 0],
      ['EMFILE', 'recvmsg', 'half', 1],
      -1,
      'pidfd',
      1,
    ])
  })

  test('of a sender: a message that would have to wait is refused with EMFILE, whole', async () => {
    const outcome = await program(
      `${fill}const [a, b] = FdSocket.pair({ type: 'seqpacket', sendBuffer: 1 })
      const big = Buffer.alloc(1000)
      await codeOf(() => b.recv({ timeout: 1 })) // what the event loop needs to wait is there
      let sent = 0
      while (await codeOf(() => a.send(big, undefined, { timeout: 0 })) === 'none') sent++
      const free = fill(1), before = openCount()
      const code = await codeOf(() => a.send('x', [0, 1, 2]))
      const left = openCount() - before
      free()
      for (let i = 0; i < sent; i++) assert.equal((await b.recv()).data.length, 1000)
      const empty = await codeOf(() => b.recv({ timeout: 0 }))
      await a.send('next', [0, 1])
      print([code, left, empty, (await b.recv()).fdCount])`,
      { through: withLimit(64) },
    )
    expect(outcome).toEqual(['EMFILE', 0, 'ETIMEDOUT', 2])
  })

  test('of a process that accepts: EMFILE, and the connection is accepted when there is room', async () => {
    const outcome = await program(
      `${fill}const name = '\\0fdpass-' + process.pid
      const listener = listen(name), client = await FdSocket.connect(name)
      assert.equal((await codeOf(() => client.recv({ timeout: 1 }))), 'ETIMEDOUT')
      const free = fill(0)
      const codes = [await codeOf(() => listener.accept()), await codeOf(() => listener.acceptSync())]
      free()
      const server = await listener.accept()
      client.sendSync('hello')
      print([...codes, (await server.recv()).data.toString()])`,
      { through: withLimit(64) },
    )
    expect(outcome).toEqual(['EMFILE', 'EMFILE', 'hello'])
  })
})
