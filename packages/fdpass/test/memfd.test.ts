import { constants, fstatSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import { expect, test } from 'vitest'
import { memfd, type MemfdOptions, type Seal } from '../src/index.ts'
import { node } from './fixtures/node.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, newPair, received } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const contents = (number: number): string => readFileSync(`/proc/self/fd/${number}`, 'utf8')

test('is a file in memory, with the name that was given', () => {
  const fd = own(memfd('a name'))
  expect(fd.kind).toBe('memfd')
  expect(readlinkSync(`/proc/self/fd/${fd.fd}`)).toBe('/memfd:a name (deleted)')
  expect(fd.stat()).toMatchObject({ size: 0, nlink: 0 })
})

test.each([
  ['a string', 'grüße', 'grüße'],
  ['bytes', Buffer.from('bytes'), 'bytes'],
  ['parts', [Buffer.from('one '), new Uint8Array(0), Buffer.from('two')], 'one two'],
  ['nothing', [], ''],
])('has %s in it', (_, data, text) => {
  const fd = own(memfd('x', data))
  expect(contents(fd.fd)).toBe(text)
})

test('its offset is 0, for whoever gets it', () => {
  const [a, b] = newPair()
  a.sendSync('x', [own(memfd('x', 'from the start'))])
  const [fd] = received(b).fds
  const bytes = Buffer.alloc(64)
  expect(bytes.toString('utf8', 0, readSync(fd!.fd, bytes))).toBe('from the start')
})

test('seals are put on when the data is in it', () => {
  const fd = own(memfd('x', 'sealed', { seals: ['write', 'grow', 'shrink', 'seal'] }))
  expect(fd.seals.filter((seal) => seal !== 'exec')).toEqual(['seal', 'shrink', 'grow', 'write'])
  expect(contents(fd.fd)).toBe('sealed')
})

test('what is large is written whole', () => {
  const data = Buffer.alloc(33 * 1024 * 1024, 'x')
  const fd = own(memfd('x', [data, data]))
  expect(fstatSync(fd.fd).size).toBe(2 * data.length)
})

test('is not inherited, and not executable where the kernel knows how to say that', async () => {
  const python = newPython()
  const { seals, fd } = own(memfd('x'))
  expect(await python.ask(`${fd} in map(int, os.listdir("/proc/self/fd"))`)).toBe(false)
  if (seals.includes('exec')) expect(fstatSync(fd).mode & constants.S_IXUSR).toBe(0)
})

test('is read by another process, which cannot change it', async () => {
  const fd = own(memfd('x', 'sealed', { seals: ['write', 'seal'] }))
  const source = `const fd = Fd.from(3)
    print({ text: fs.readFileSync('/proc/self/fd/3', 'utf8'), code: await codeOf(() => fs.writeSync(3, 'x')) })`
  expect(await node(source, { inherited: [fd.fd] })).toEqual({ text: 'sealed', code: 'EPERM' })
})

test.each<[what: string, call: () => unknown]>([
  ['a name that is none', () => memfd(undefined as unknown as string)],
  ['a name with a NUL', () => memfd('a\0b')],
  ['a name of 250 bytes', () => memfd('ü'.repeat(125))],
  ['data that is none', () => memfd('x', 1 as unknown as string)],
  ['parts that are none', () => memfd('x', ['text'] as unknown as Uint8Array[])],
  ['an unknown seal', () => memfd('x', '', { seals: ['sael' as Seal] })],
  ['an unknown option', () => memfd('x', '', { seal: [] } as MemfdOptions)],
])('%s is refused: EINVAL', (_, call) => {
  expect(codeOf(call)).toBe('EINVAL')
})

test('a name of 249 bytes is not', () => {
  expect(own(memfd('x'.repeat(249))).kind).toBe('memfd')
})

test('data that does not fit leaves no descriptor', async () => {
  const source = `process.on('SIGXFSZ', () => {})
    const before = openCount()
    const code = await codeOf(() => memfd('x', Buffer.alloc(4096)))
    print({ code, left: openCount() - before })`
  expect(await node(source, { through: ['prlimit', '--fsize=1024'] })).toEqual({ code: 'EFBIG', left: 0 })
})

test('a full table: EMFILE', async () => {
  const source = `const full = []
    try { for (;;) full.push(fs.openSync('/dev/null')) } catch {}
    print(await codeOf(() => memfd('x')))`
  expect(await node(source, { through: ['prlimit', '--nofile=64'] })).toBe('EMFILE')
})
