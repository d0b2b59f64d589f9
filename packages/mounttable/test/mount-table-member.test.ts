import { once } from 'node:events'
import { MessageChannel, Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { MountTable, MountTableMember, type MountTableHandle } from '../src/index.ts'
import { codeOf, gate, open, TestWorker } from './fixtures/workers.ts'

describe('member', () => {
  test('1: what is mounted is found in every worker when mount() resolves', async () => {
    using table = new MountTable()
    const workers = await Promise.all([TestWorker.start(table), TestWorker.start(table)])
    await table.mount('/a', { name: 'one' })
    for (const worker of workers) {
      expect(await worker.call('answer', '/a/b')).toBe('one')
      expect(await worker.call('list')).toMatchObject([{ prefix: '/a', spec: { name: 'one' } }])
      await worker.terminate()
    }
    expect(table.list()[0]?.served).toBe(2)
  })

  test('62: who joins late has everything before it can look up', async () => {
    using table = new MountTable()
    await table.mount('/a', { name: 'one' })
    await table.mount('/b', { name: 'two' }, { host: 'x.example' })
    const worker = await TestWorker.start(table)
    expect(await worker.call('answer', '/a')).toBe('one')
    expect(await worker.call('answer', '/b', 'x.example')).toBe('two')
    await worker.terminate()
  })

  test('62: who joins while something is being prepared takes part in it', async () => {
    using table = new MountTable()
    const first = await TestWorker.start(table, 'a')
    const slow = gate()
    const mounting = table.mount('/a', { name: 'slow', gate: slow })
    const second = await TestWorker.start(table, 'b')
    open(slow)
    await mounting
    for (const worker of [first, second]) {
      expect(await worker.call('answer', '/a')).toBe('slow')
      await worker.terminate()
    }
  })

  test('62: what is replaced while a worker joins is not what it finds', async () => {
    using table = new MountTable()
    const slow = gate()
    await table.mount('/a', { name: 'old', gate: slow, announce: true })
    const worker = new TestWorker(table)
    expect(await worker.reply()).toBe('preparing')
    await table.replace('/a', { name: 'new' })
    // It joins although the old one is never prepared.
    await worker.reply()
    expect(await worker.call('answer', '/a')).toBe('new')
    await worker.terminate()
  })

  test('a worker that cannot prepare what is mounted does not join', async () => {
    using table = new MountTable()
    await table.mount('/a', { name: 'one', failIn: 'b' })
    const worker = new TestWorker(table, 'b')
    const [error] = (await once(worker.worker, 'error')) as [Error]
    expect(error).toMatchObject({
      code: 'ERR_MOUNT_PREPARE',
      cause: { message: 'this spec does not load here' },
    })
    expect(await codeOf(table.mount('/b', { name: 'two' }))).toBeUndefined()
  })

  test('68: a worker that was busy during 10 000 publications sees the last state at once', async () => {
    using table = new MountTable({ slots: 10_001 })
    const worker = await TestWorker.start(table)
    const all = Array.from({ length: 10_000 }, (_, index) => `/m${index}`)
    await table.mount('/a', { name: 'stays' })
    await Promise.all(all.map((prefix) => table.mount(prefix, 'x')))
    const wake = await worker.begin('block', gate(), '/a')
    await Promise.all(all.map((prefix) => table.unmount(prefix)))
    const result = (await wake()) as { answer: string; mounts: number; milliseconds: number }
    expect(result).toMatchObject({ answer: 'stays', mounts: 1 })
    expect(result.milliseconds).toBeLessThan(1000)
    await worker.terminate()
  })

  test('a lookup sees what was published before it, without a turn of the event loop', async () => {
    using table = new MountTable()
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    const wake = await worker.begin('block', gate(), '/a')
    await table.unmount('/a')
    expect(await wake()).toMatchObject({ answer: undefined, mounts: 0 })
    await worker.terminate()
  })

  test('membership does not keep a worker alive', async () => {
    using table = new MountTable()
    const { port, ...handle } = table.share()
    const code = `
      const { workerData } = require('node:worker_threads')
      import(${JSON.stringify(import.meta.resolve('@x/mounttable'))}).then(({ MountTableMember }) =>
        MountTableMember.attach(workerData, { prepare: (spec) => spec }))`
    const worker = new Worker(code, {
      eval: true,
      workerData: { ...handle, port },
      transferList: [port],
    })
    expect(await once(worker, 'exit')).toEqual([0])
  })

  test('close(): leases are still released, then the place is free for another', async () => {
    using table = new MountTable({ members: 1 })
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    const lease = await worker.call('hold', '/a')
    await worker.call('close')
    await expect(worker.call('answer', '/a')).rejects.toMatchObject({ code: 'EBADF' })
    expect(table.list()[0]?.references).toBe(1)
    expect(() => table.share()).toThrow(expect.objectContaining({ code: 'ERR_MOUNT_MEMBERS' }))
    const unmounted = table.unmount('/a')
    await worker.call('release', lease)
    await unmounted
    expect(await worker.call('events', 2)).toEqual(['prepare one', 'dispose one'])
    await table.mount('/b', { name: 'two' })
    await worker.terminate()
    table.removed(worker.id)
    const next = await TestWorker.start(table)
    expect(next.id).not.toBe(worker.id)
    await next.terminate()
  })

  test('a member of a closed table finds nothing, and none can join', async () => {
    const table = new MountTable()
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    const handle = table.share()
    table.close()
    expect(await worker.call('answer', '/a')).toBeUndefined()
    expect(await worker.call('stopping')).toBe(true)
    expect(await codeOf(MountTableMember.attach(handle, { prepare: () => undefined }))).toBe('EBADF')
    await worker.terminate()
  })

  test('a handle of something else is refused', async () => {
    const { port1 } = new MessageChannel()
    const buffer = new SharedArrayBuffer(1024)
    const handle = { id: 1, stripe: 1, epoch: 0, buffer, port: port1, transfer: [port1] }
    expect(await codeOf(MountTableMember.attach(handle, { prepare: () => undefined }))).toBe(
      'ERR_MOUNT_LAYOUT',
    )
    port1.close()
  })

  test('the handle of a table of another layout version is refused', async () => {
    using table = new MountTable()
    const handle = table.share()
    // The layout word; its low half is the version.
    new Int32Array(handle.buffer)[0]! += 1
    expect(await codeOf(MountTableMember.attach(handle, { prepare: () => undefined }))).toBe(
      'ERR_MOUNT_LAYOUT',
    )
    new Int32Array(handle.buffer)[0]! -= 1
    using member = await MountTableMember.attach(handle, { prepare: () => undefined })
    expect(member.list()).toEqual([])
  })

  test('what is no whole handle is refused and leaves the table as it was', async () => {
    using table = new MountTable({ members: 2 })
    const handle = table.share()
    for (const broken of [
      undefined,
      null,
      1,
      {},
      { ...handle, stripe: 3 },
      { ...handle, stripe: 0 },
      { ...handle, stripe: 1.5 },
      { ...handle, id: 0 },
      { ...handle, epoch: undefined },
      { ...handle, port: undefined },
    ]) {
      const attaching = MountTableMember.attach(broken as MountTableHandle, { prepare: () => undefined })
      expect(await codeOf(attaching)).toBe('ERR_MOUNT_LAYOUT')
    }
    using member = await MountTableMember.attach(handle, { prepare: () => undefined })
    expect(member.id).toBe(handle.id)
  })

  test('a handle is good for one attach()', async () => {
    using table = new MountTable<string>({ members: 1 })
    const handle = table.share()
    await table.mount('/a', 'one')
    const options = { prepare: (spec: string) => spec }
    const member = await MountTableMember.attach<string, string>(handle, options)
    expect(await codeOf(MountTableMember.attach<string, string>(handle, options))).toBe('ERR_MOUNT_ATTACHED')
    expect(member.lookup('/a')?.handler).toBe('one')
    table.removed(member.id)
    expect(await codeOf(MountTableMember.attach<string, string>(handle, options))).toBe('EBADF')
  })

  test('a member that was declared dead and is not gets EBADF, and no lease of its successor', async () => {
    const cleaned: string[] = []
    using table = new MountTable<string>({ members: 1, cleanup: ({ spec }) => void cleaned.push(spec) })
    await table.mount('/a', 'one')
    const prepare = (spec: string): string => spec
    const first = await MountTableMember.attach<string, string>(table.share(), { prepare })
    const late = first.lookup('/a')!
    table.removed(first.id)
    expect(table.references).toBe(0)
    const second = await MountTableMember.attach<string, string>(table.share(), { prepare })
    const lease = second.lookup('/a')!
    expect(() => first.lookup('/a')).toThrow(expect.objectContaining({ code: 'EBADF' }))
    // Whose stripe it was, it counts nothing in it any more.
    late.release()
    expect(table.references).toBe(1)
    const unmounted = table.unmount('/a')
    expect(() => first.lookup('/a')).toThrow(expect.objectContaining({ code: 'EBADF' }))
    expect(() => first.list()).toThrow(expect.objectContaining({ code: 'EBADF' }))
    expect(cleaned).toEqual([])
    lease.release()
    await unmounted
    expect(cleaned).toEqual(['one'])
    first.close()
    second.close()
  })

  test('a member may live in the control thread too', async () => {
    using table = new MountTable<string>()
    await table.mount('/a', 'one')
    using member = await MountTableMember.attach(table.share(), { prepare: (spec: string) => spec.length })
    await table.mount('/b', 'three')
    expect(member.lookup('/b')?.handler).toBe(5)
    expect(member.list()).toHaveLength(2)
  })

  test('a member that has a message whose version is not stored yet goes on', async () => {
    using table = new MountTable<string>({ members: 1 })
    const handle = table.share()
    using member = await MountTableMember.attach<string, string>(handle, { prepare: (spec) => spec })
    await table.mount('/a', 'one')
    expect(member.lookup('/a')?.handler).toBe('one')
    // The version word, as it is between the two steps of a publication.
    new Int32Array(handle.buffer)[3]! -= 1
    expect(member.lookup('/a')?.handler).toBe('one')
    expect(member.list()).toHaveLength(1)
  })

  test('62: who joins does not wait for what it will never serve', async () => {
    using table = new MountTable({ cleanup: () => undefined })
    const holder = await TestWorker.start(table)
    const slow = gate()
    open(slow)
    const announced = holder.reply()
    await table.mount('/a', { name: 'old', gate: slow, announce: true })
    await announced
    const lease = await holder.call('hold', '/a')
    Atomics.store(new Int32Array(slow), 0, 0)
    const joiner = new TestWorker(table)
    expect(await joiner.reply()).toBe('preparing')
    const { drained } = await table.replace('/a', { name: 'new' })
    // The old one is never prepared there, and is not gone either: it is held.
    await joiner.reply()
    expect(await joiner.call('answer', '/a')).toBe('new')
    await holder.call('release', lease)
    await drained
    await Promise.all([holder, joiner].map((worker) => worker.terminate()))
  })

  test('68: of what was published meanwhile a lookup applies the outcome', async () => {
    using table = new MountTable<string>({ members: 2, drainingLimit: 1000 })
    const prepared: string[] = []
    const options = {
      prepare: (spec: string) => {
        prepared.push(spec)
        return spec
      },
    }
    using member = await MountTableMember.attach<string, string>(table.share(), options)
    await table.mount('/a', 'one')
    await table.mount('/b', 'two')
    const held = member.lookup('/a')!
    await table.replace('/a', 'three')
    // All of this is in its port when it looks up.
    const unmounts = [table.unmount('/a'), table.unmount('/b')]
    expect([member.lookup('/a'), member.lookup('/b')]).toEqual([undefined, undefined])
    expect(held.handler).toBe('one')
    held.release()
    await Promise.all(unmounts)
    expect(prepared).toEqual(['one', 'two', 'three'])
  })

  test('closed: resolves when the last lease is back and dispose has ended', async () => {
    using table = new MountTable<string>()
    const order: string[] = []
    let finish!: () => void
    const member = await MountTableMember.attach<string, string>(table.share(), {
      prepare: (spec) => spec,
      dispose: async (handler) => {
        order.push(`dispose ${handler}`)
        await new Promise<void>((resolve) => (finish = resolve))
        order.push('disposed')
      },
    })
    await table.mount('/a', 'one')
    const lease = member.lookup('/a')!
    const closed = member[Symbol.asyncDispose]().then(() => order.push('closed'))
    expect(order).toEqual([])
    expect(table.snapshot().members).toMatchObject([{ id: 0 }, { id: 1, references: 1 }])
    lease.release()
    await expect.poll(() => order).toEqual(['dispose one'])
    finish()
    await closed
    await member.closed
    expect(order).toEqual(['dispose one', 'disposed', 'closed'])
    await expect.poll(() => table.snapshot().members).toHaveLength(1)
  })

  test('31: a handler that is forced is disposed of when this thread has given its leases back', async () => {
    using table = new MountTable<string>()
    const disposed: string[] = []
    using member = await MountTableMember.attach<string, string>(table.share(), {
      prepare: (spec) => spec,
      dispose: (handler) => void disposed.push(handler),
    })
    await table.mount('/a', 'one')
    await table.mount('/b', 'two')
    const leases = [member.lookup('/a')!, member.lookup('/a')!]
    const [aborted, other] = [
      once(leases[0]!.signal, 'abort'),
      // What is not forced is disposed of at once, which tells that the message about it has come.
      table.unmount('/a', { force: true }).then(() => table.unmount('/b')),
    ]
    await aborted
    await other
    await expect.poll(() => disposed).toEqual(['two'])
    leases[0]?.release()
    expect(disposed).toEqual(['two'])
    leases[1]?.release()
    await expect.poll(() => disposed).toEqual(['two', 'one'])
  })

  test('31: listeners of a signal do not run inside the lookup that finds it aborted', async () => {
    using table = new MountTable<string>()
    using member = await MountTableMember.attach<string, string>(table.share(), { prepare: (spec) => spec })
    await table.mount('/a', 'one')
    await table.mount('/b', 'two')
    const lease = member.lookup('/a')!
    let inside = false
    const seen: boolean[] = []
    lease.signal.addEventListener('abort', () => seen.push(inside))
    const unmounted = table.unmount('/a', { force: true })
    inside = true
    expect(member.lookup('/b')?.handler).toBe('two')
    inside = false
    await unmounted
    lease.release()
    expect(seen).toEqual([false])
  })
})
