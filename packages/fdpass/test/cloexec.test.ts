import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Fd, FdSocket, listen } from '../src/index.ts'
import { newFile } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, claimed, links, newPair, received } from './fixtures/sockets.ts'
import { python } from './fixtures/program.ts'

const O_CLOEXEC = 0o2000000

const isCloseOnExec = ({ fd }: { fd: number }): boolean => {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
  return (Number.parseInt(flags ?? '', 8) & O_CLOEXEC) !== 0
}

/** Whether a program that is started now has it. */
const isInherited = ({ fd }: { fd: number }, inode: number): boolean => {
  const { stdout } = spawnSync('readlink', [`/proc/self/fd/${fd}`], { encoding: 'utf8' })
  return stdout.includes(`[${inode}]`)
}

describe.each(['stream', 'seqpacket'] as const)('close-on-exec of %s', (type) => {
  test('64, 65, 66, 67: a listener, what it accepts, and what connects, with a name or without', async () => {
    const folder = newFolder()
    const listener = own(listen(`${folder}/a`, { type }))
    const client = own(await FdSocket.connect(`${folder}/a`, { type }))
    const server = await accepted(listener)
    const named = own(FdSocket.connectSync(`${folder}/a`, { type, localName: `${folder}/b` }))
    const again = own(listener.acceptSync())
    expect([listener, client, server, named, again].map(isCloseOnExec)).toEqual(Array(5).fill(true))
  })
})

describe.each(links)('close-on-exec of %s', (_, options) => {
  test('B1.10, 68: a pair, and what is received', () => {
    const [a, b] = newPair(options)
    a.sendSync('x', [newFile(), newFile()])
    const { fds } = received(b)
    expect([a, b, ...fds].map(isCloseOnExec)).toEqual(Array(4).fill(true))
  })

  test('B1.10, 68: no program that is started has what is received', () => {
    const [a, b] = newPair(options)
    const [passed] = newPair({ type: 'seqpacket' })
    a.sendSync('x', [passed])
    const fd = claimed(received(b))
    expect(isInherited(fd, fd.stat().ino)).toBe(false)
  })
})

test('what is duplicated, reopened, adopted, and the pidfd of a peer are close-on-exec', async () => {
  const [a, b] = newPair()
  const file = newFile()
  // A flag of another process's descriptor is not passed with it.
  const [here, there] = newPair({ type: 'seqpacket' })
  const child = python(
    `os.set_inheritable(0, True)
socket.send_fds(s, [b'x'], [0])
print_json('sent')`,
    { sockets: [there] },
  )
  expect(await child).toBe('sent')
  const bound = own(FdSocket.bound(`${newFolder()}/socket`))
  const adopted = own(Fd.from(b.take()))
  const all = [
    own(file.dup()),
    own(file.reopen(0)),
    own(a.peerPidfd()),
    claimed(received(here)),
    adopted,
    bound,
  ]
  expect(all.map(isCloseOnExec)).toEqual(all.map(() => true))
})
