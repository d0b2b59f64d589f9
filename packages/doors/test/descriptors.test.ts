import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { createDoor, DoorClient, release } from '../src/index.ts'
import { newChild } from './fixtures/child.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newOpenDoor } from './fixtures/doors.ts'

const newFile = (text: string): Fd => {
  const path = join(newFolder(), 'file')
  writeFileSync(path, text)
  return own(Fd.open(path, 0))
}

describe('descriptors', () => {
  test('go with a call and come with its reply', async () => {
    const { client } = await newOpenDoor((_, { fds }) => ({
      data: fds.map((fd) => readFileSync(fd.fd, 'utf8')).join(),
      fds: [release(newFile('answer'))],
    }))
    const answer = own(await client.call('x', { fds: [newFile('one'), newFile('two')] }))
    expect(answer.data.toString()).toBe('one,two')
    expect(answer.fds.map((fd) => readFileSync(fd.fd, 'utf8'))).toEqual(['answer'])
  })

  test('are closed at the server when the procedure has ended, but those that it took', async () => {
    const taken: Fd[] = []
    const { client } = await newOpenDoor((_, { fds }) => {
      taken.push(own(Fd.from(fds[0]!.take())))
      return undefined
    })
    const file = newFile('mine')
    await client.call('x', { fds: [file, file] })
    const before = countOpen()
    await client.call('x', { fds: [file, file] })
    expect(countOpen()).toBe(before + 1)
    expect(readFileSync(taken[0]!.fd, 'utf8')).toBe('mine')
  })

  test.each([1, 253, 254, 1024])('79: %i in one call', async (count) => {
    const { client } = await newOpenDoor((_, { fds }) => String(fds.length))
    const file = newFile('x')
    const fds = Array.from({ length: count }, () => file)
    expect((await client.call('', { fds })).data.toString()).toBe(String(count))
  })

  test('69: a released one is closed here when it has gone', async () => {
    const { client } = await newOpenDoor(echo)
    const fd = newFile('x')
    await client.call('x', { fds: [release(fd)] })
    expect(fd.fd).toBe(-1)
  })

  test.each([
    ['50: of a door that refuses them are ENOTSUP', { refuseDescriptors: true }, 'ENOTSUP'],
    ['51: more than DESC_MAX are ENFILE', { descMax: 0 }, 'ENFILE'],
    ['51: and too few bytes come before that: ENOBUFS', { descMax: 0, dataMin: 100 }, 'ENOBUFS'],
  ])('%s; 70: and nothing was released', async (_, options, code) => {
    let ran = 0
    const { client } = await newOpenDoor(() => {
      ran++
      return undefined
    }, options)
    const fd = newFile('x')
    expect(await codeOf(() => client.call('x', { fds: [release(fd)] }))).toBe(code)
    expect(readFileSync(fd.fd, 'utf8')).toBe('x')
    expect(ran).toBe(0)
  })

  test('53: one that is closed is EINVAL, and the others stay open', async () => {
    const { client } = await newOpenDoor(echo)
    const [good, bad] = [newFile('good'), newFile('bad')]
    bad.close()
    expect(await codeOf(() => client.call('x', { fds: [good, bad] }))).toBe('EINVAL')
    expect(readFileSync(good.fd, 'utf8')).toBe('good')
    expect((await client.call('next')).data.toString()).toBe('next')
  })

  test('a reply with one that is closed is EINVAL for the caller', async () => {
    const { client } = await newOpenDoor(() => ({ fds: [4_000_000] }))
    expect(await codeOf(() => client.call('x'))).toBe('EINVAL')
  })
})

describe('doors themselves', () => {
  test('74: one without a name is called by who has received it', async () => {
    const inner = own(createDoor((data) => `inner ${String(data)}`))
    const { client } = await newOpenDoor(() => ({ fds: [release(inner.descriptor())] }))
    const answer = await client.call('give')
    const received = own(DoorClient.from(answer.fds[0]!))
    expect((await received.call('x')).data.toString()).toBe('inner x')
    expect(received.info().uniquifier).toBe(inner.info().uniquifier)
  })

  test('75, 113: an open that is passed on is the same reference, until the last copy has gone', async () => {
    const { door, client } = await newOpenDoor(echo)
    const { path } = await newOpenDoor(() => ({ fds: [client.fd] }))
    const child = newChild(
      `const answer = openDoorSync(path).callSync('x')
      const door = DoorClient.from(answer.fds[0])
      print(door.callSync('from the child').data.toString())
      await line()`,
      path,
    )
    expect(await child.next()).toBe('from the child')
    client.close()
    expect((await until(() => door.references.opens === 1), door.references.opens)).toBe(1)
    child.go()
    child.process.stdin?.end()
    await until(() => door.references.opens === 0)
  })

  test('33, 54: what is none is EBADF', async () => {
    expect(await codeOf(() => DoorClient.from(newFile('x')))).not.toBe('no error')
  })
})
