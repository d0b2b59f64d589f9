import { inspect } from 'node:util'
import { threadId } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { MountTable, MountTableMember, type MountInfo } from '../src/index.ts'
import { ACTIVE, SharedTable, slotWord } from '../src/shared-table.ts'
import { codeOf, gate, open, TestWorker } from './fixtures/workers.ts'

interface Gated {
  name: string
  gate?: Promise<void>
}

/** A table in one thread, and what it has cleaned up. */
function singleThreaded(): { table: MountTable<string, string>; cleaned: MountInfo<string>[] } {
  const cleaned: MountInfo<string>[] = []
  const table = new MountTable<string, string>({
    prepare: (spec) => spec.toUpperCase(),
    cleanup: (mount) => void cleaned.push(mount),
  })
  return { table, cleaned }
}

describe('mount', () => {
  test('1: what is mounted is found', async () => {
    const { table } = singleThreaded()
    const mount = await table.mount('/a', 'one')
    expect(mount).toMatchObject({ prefix: '/a', spec: 'one', state: 'active', references: 0, served: 0 })
    using lease = table.lookup('/a/b?c')
    expect(lease).toMatchObject({ handler: 'ONE', prefix: '/a', rest: '/b' })
  })

  test('2: before a mount nothing is found', () => {
    expect(singleThreaded().table.lookup('/a')).toBeUndefined()
  })

  test('3: when prepare throws, nothing is mounted and slot and prefix are free', async () => {
    const table = new MountTable<string, string>({
      slots: 1,
      prepare: (spec) => {
        if (spec === 'bad') throw new Error('will not load')
        return spec
      },
    })
    const error = await table.mount('/a', 'bad').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_MOUNT_PREPARE', cause: { message: 'will not load' } })
    expect(table.list()).toEqual([])
    expect(table.lookup('/a')).toBeUndefined()
    await table.mount('/a', 'good')
  })

  test('3: when init throws, it is never active, no thread prepares it, and slot and prefix are free', async () => {
    const prepared: string[] = []
    const cleaned: string[] = []
    const table = new MountTable<string, string>({
      slots: 1,
      prepare: (spec) => {
        prepared.push(spec)
        return spec
      },
    })
    const failing = {
      init: () => {
        throw new Error('no such database')
      },
      cleanup: ({ spec }: { spec: string }) => void cleaned.push(spec),
    }
    const mounting = table.mount('/a', 'bad', failing)
    expect(table.list()).toMatchObject([{ state: 'init' }])
    await expect(mounting).rejects.toMatchObject({
      code: 'ERR_MOUNT_INIT',
      syscall: 'mount',
      cause: { message: 'no such database' },
    })
    expect(table.list()).toEqual([])
    expect(prepared).toEqual([])
    // What did not begin is not undone.
    expect(cleaned).toEqual([])
    await table.mount('/a', 'good', { init: () => Promise.resolve() })
    expect(table.lookup('/a')?.handler).toBe('good')
  })

  test('5: init runs before any thread prepares; a worker that joins meanwhile waits with the others', async () => {
    using table = new MountTable()
    const first = await TestWorker.start(table, 'a')
    let finish!: () => void
    const mounting = table.mount(
      '/a',
      { name: 'one' },
      { init: () => new Promise<void>((resolve) => (finish = resolve)) },
    )
    const second = await TestWorker.start(table, 'b')
    expect(await first.call('answer', '/a')).toBeUndefined()
    expect(await second.call('events', 0)).toEqual([])
    finish()
    await mounting
    for (const worker of [first, second]) {
      expect(await worker.call('answer', '/a')).toBe('one')
      await worker.terminate()
    }
  })

  test('3: what init made is cleaned up when a thread cannot prepare, before its slot is used again', async () => {
    const order: string[] = []
    let finish!: () => void
    const table = new MountTable<string, string>({
      slots: 1,
      prepare: (spec) => {
        if (spec === 'bad') throw new Error('will not load')
        return spec
      },
      cleanup: ({ spec }) => void order.push(`table ${spec}`),
    })
    const hooks = {
      init: ({ prefix }: { prefix: string }) => void order.push(`init ${prefix}`),
      cleanup: async ({ prefix, state }: MountInfo<string>) => {
        await new Promise<void>((resolve) => (finish = resolve))
        order.push(`cleanup ${prefix} ${state}`)
      },
    }
    expect(await codeOf(table.mount('/a', 'bad', hooks))).toBe('ERR_MOUNT_PREPARE')
    expect(await codeOf(table.mount('/a', 'good'))).toBe('ERR_MOUNT_SLOTS')
    expect(table.list()).toMatchObject([{ state: 'drained' }])
    const drained = table.drain('/a')
    finish()
    await drained
    expect(order).toEqual(['init /a', 'cleanup /a drained'])
    await table.mount('/a', 'good')
  })

  test('3: an init that outlasts the deadline is undone when it ends, and stop() waits for that', async () => {
    const order: string[] = []
    let finish!: () => void
    const table = new MountTable<string>({ members: 0 })
    const mounting = table.mount('/a', 'slow', {
      deadline: 10,
      init: () => new Promise<void>((resolve) => (finish = resolve)),
      cleanup: () => void order.push('cleaned'),
    })
    expect(await codeOf(mounting)).toBe('ERR_MOUNT_INIT')
    await table.mount('/a', 'quick')
    const stopped = table.stop().then(() => order.push('stopped'))
    finish()
    await stopped
    expect(order).toEqual(['cleaned', 'stopped'])
  })

  test('9: the clean-up of the mount comes before that of the table, and neither keeps the other', async () => {
    const order: string[] = []
    const table = new MountTable<string>({
      members: 0,
      cleanup: ({ spec }) => {
        order.push(`table ${spec}`)
        throw new Error('table')
      },
    })
    await table.mount('/a', 'one', {
      cleanup: async ({ spec, state }) => {
        await Promise.resolve()
        order.push(`mount ${spec} ${state}`)
        throw new Error('mount')
      },
    })
    const error = await table.unmount('/a').catch((reason: unknown) => reason)
    expect(order).toEqual(['mount one drained', 'table one'])
    expect(error).toMatchObject({
      code: 'ERR_MOUNT_CLEANUP',
      cause: { errors: [{ message: 'mount' }, { message: 'table' }] },
    })
    await table.mount('/a', 'two')
  })

  test('10: hooks belong to a generation: a replacement brings its own', async () => {
    const order: string[] = []
    const hooks = (name: string): { init: () => void; cleanup: () => void } => ({
      init: () => void order.push(`init ${name}`),
      cleanup: () => void order.push(`cleanup ${name}`),
    })
    const table = new MountTable<string>({ members: 0 })
    await table.mount('/a', 'one', hooks('one'))
    await (
      await table.replace('/a', 'two', hooks('two'))
    ).drained
    await table.unmount('/a')
    expect(order).toEqual(['init one', 'init two', 'cleanup one', 'cleanup two'])
    for (const bad of [{ init: 1 }, { cleanup: 'x' }]) {
      expect(await codeOf(table.mount('/a', 'x', bad as object))).toBe('EINVAL')
    }
  })

  test('4: when one worker of three refuses, none serves it', async () => {
    using table = new MountTable()
    const workers = await Promise.all(['a', 'b', 'c'].map((name) => TestWorker.start(table, name)))
    const error = await table.mount('/a', { name: 'x', failIn: 'b' }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_MOUNT_PREPARE',
      message: expect.stringContaining('member 2') as string,
      cause: { message: 'this spec does not load here' },
    })
    for (const worker of workers) {
      expect(await worker.call('answer', '/a')).toBeUndefined()
      await worker.terminate()
    }
    expect(table.list()).toEqual([])
  })

  test('4: those that had prepared it dispose of it', async () => {
    using table = new MountTable()
    const workers = await Promise.all(['a', 'b'].map((name) => TestWorker.start(table, name)))
    await table.mount('/a', { name: 'x', failIn: 'b' }).catch(() => undefined)
    await table.mount('/a', { name: 'y' })
    expect((await workers[0]?.call('events', 3)) as string[]).toContain('dispose x')
    expect(await workers[1]?.call('events', 1)).toEqual(['prepare y'])
    for (const worker of workers) await worker.terminate()
  })

  test('5: during a prepare that takes its time nothing is found', async () => {
    let finish!: () => void
    const table = new MountTable<Gated, string>({
      prepare: async ({ name }) => {
        await new Promise<void>((resolve) => (finish = resolve))
        return name
      },
    })
    const mounting = table.mount('/a', { name: 'slow' })
    await Promise.resolve()
    expect(table.lookup('/a')).toBeUndefined()
    expect(table.list()).toMatchObject([{ prefix: '/a', state: 'init' }])
    finish()
    await mounting
    expect(table.lookup('/a')?.handler).toBe('slow')
  })

  test('6: a prefix that is taken is refused, also while the first is being prepared', async () => {
    const { table } = singleThreaded()
    const first = table.mount('/a', 'one')
    await expect(table.mount('/a/', 'two')).rejects.toMatchObject({ code: 'ERR_MOUNT_TAKEN' })
    await first
    await expect(table.mount('/a', 'two')).rejects.toMatchObject({ code: 'ERR_MOUNT_TAKEN' })
    expect(table.lookup('/a')?.handler).toBe('ONE')
    await table.mount('/a', 'for a host', { host: 'x.example' })
  })

  test('7: what is not mounted cannot be unmounted or replaced', async () => {
    const { table } = singleThreaded()
    expect(await codeOf(table.unmount('/a'))).toBe('ERR_MOUNT_NOT_FOUND')
    expect(await codeOf(table.replace('/a', 'x'))).toBe('ERR_MOUNT_NOT_FOUND')
    expect(table.list()).toEqual([])
  })

  test('8: without leases, unmounting cleans up at once and once', async () => {
    const { table, cleaned } = singleThreaded()
    const mount = await table.mount('/a', 'one')
    await table.unmount('/a')
    expect(cleaned).toMatchObject([
      { prefix: '/a', generation: mount.generation, references: 0, state: 'drained' },
    ])
    expect(table.list()).toEqual([])
  })

  test('9: a clean-up that throws is reported, and the slot is free', async () => {
    const table = new MountTable<string>({
      slots: 1,
      cleanup: () => {
        throw new Error('did not clean')
      },
    })
    await table.mount('/a', 'one')
    const error = await table.unmount('/a').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_MOUNT_CLEANUP', cause: { message: 'did not clean' } })
    await table.mount('/a', 'two')
  })

  test('10: a slot is not used again before an asynchronous clean-up has settled', async () => {
    let finish!: () => void
    const table = new MountTable<string>({
      slots: 1,
      cleanup: () => new Promise<void>((resolve) => (finish = resolve)),
    })
    await table.mount('/a', 'one')
    const unmounted = table.unmount('/a')
    await Promise.resolve()
    expect(await codeOf(table.mount('/b', 'two'))).toBe('ERR_MOUNT_SLOTS')
    expect(table.list()).toMatchObject([{ prefix: '/a', state: 'drained' }])
    finish()
    await unmounted
    await table.mount('/b', 'two')
  })

  test('11, 17: list() shows state, generation, leases and the age of the state', async () => {
    const { table } = singleThreaded()
    const before = Date.now()
    const first = await table.mount('/b', 'one')
    await table.mount('/a', 'two', { host: 'X.example' })
    using lease = table.lookup('/b')
    const list = table.list()
    expect(list).toMatchObject([
      { prefix: '/b', host: undefined, state: 'active', references: 1, served: 1, spec: 'one' },
      { prefix: '/a', host: 'x.example', state: 'active', references: 0, served: 0, spec: 'two' },
    ])
    expect(list[0]?.since).toBeGreaterThanOrEqual(before)
    expect(list[1]?.generation).toBeGreaterThan(first.generation)
    expect(list[0]?.slot).not.toBe(list[1]?.slot)
    expect(lease?.mount).toMatchObject({ prefix: '/b', generation: first.generation })
  })

  test('17: every change of what is found raises the version', async () => {
    const { table } = singleThreaded()
    const versions = [table.version]
    await table.mount('/a', 'one')
    versions.push(table.version)
    await table.replace('/a', 'two')
    versions.push(table.version)
    await table.unmount('/a')
    versions.push(table.version)
    expect(versions).toEqual([0, 1, 2, 3])
  })

  test('64: when all slots are taken nothing is half mounted', async () => {
    const table = new MountTable<string, string>({ slots: 2, prepare: (spec) => spec })
    await table.mount('/a', 'a')
    await table.mount('/b', 'b')
    expect(await codeOf(table.mount('/c', 'c'))).toBe('ERR_MOUNT_SLOTS')
    expect(await codeOf(table.replace('/a', 'c'))).toBe('ERR_MOUNT_SLOTS')
    expect(table.list()).toHaveLength(2)
    expect(table.lookup('/c')).toBeUndefined()
    await table.unmount('/b')
    await table.mount('/c', 'c')
  })

  test('one thread: nothing is shared or copied, and anything can be a handler', async () => {
    const table = new MountTable<(name: string) => string>({ members: 0 })
    const greet = (name: string): string => `Hello, ${name}`
    expect((await table.mount('/greet', greet)).spec).toBe(greet)
    expect(table.lookup('/greet')?.mount.spec('you')).toBe('Hello, you')
    expect(table.lookup('/greet')?.handler).toBe(greet)
    expect(() => table.share()).toThrow(expect.objectContaining({ code: 'ERR_MOUNT_MEMBERS' }))
    table.close()
  })

  test('what list() shows is not what somebody can change', async () => {
    const table = new MountTable<{ names: string[] }>()
    await table.mount('/a', { names: ['one'] })
    expect(() => table.list()[0]?.spec.names.push('two')).toThrow(TypeError)
    expect(table.list()[0]?.spec).toEqual({ names: ['one'] })
  })

  test('a spec is copied, and one that cannot be is refused', async () => {
    const table = new MountTable<{ name?: string; run?: () => void }>()
    const spec = { name: 'one' }
    await table.mount('/a', spec)
    spec.name = 'changed'
    expect(table.list()[0]?.spec).toEqual({ name: 'one' })
    expect(await codeOf(table.mount('/b', { run: () => undefined }))).toBe('ERR_MOUNT_SPEC')
    expect(table.list()).toHaveLength(1)
  })

  test('a prepare that takes too long is given up in all threads', async () => {
    using table = new MountTable()
    const worker = await TestWorker.start(table)
    const late = gate()
    const error = await table
      .mount('/a', { name: 'slow', gate: late }, { deadline: 20 })
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_MOUNT_PREPARE',
      message: expect.stringContaining('members 1') as string,
    })
    open(late)
    await table.mount('/a', { name: 'quick' })
    expect(await worker.call('answer', '/a')).toBe('quick')
    await worker.terminate()
  })

  test('a signal ends the wait with its reason', async () => {
    const table = new MountTable<string>({ prepare: () => new Promise(() => undefined) })
    const controller = new AbortController()
    const mounting = table.mount('/a', 'x', { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(mounting).rejects.toThrow('enough')
    expect(table.list()).toEqual([])
    await expect(table.mount('/a', 'x', { signal: controller.signal })).rejects.toThrow('enough')
  })

  test('11, 17: a snapshot adds up, of mounts, members and table', async () => {
    using table = new MountTable({ slots: 8, prepare: (spec) => spec })
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    await table.mount('/b', { name: 'two' }, { host: '*.example' })
    const own = [table.lookup('/a')!, table.lookup('/b', 'x.example')!]
    await worker.call('hold', '/a')
    const unmounted = table.unmount('/b', { host: '*.example' })
    const forced = table.lookup('/a')!
    await table.replace('/a', { name: 'three' })
    await table.drain('/a', { force: true })
    expect(table.snapshot()).toMatchObject({
      version: table.version,
      state: 'running',
      references: 4,
      slots: { total: 8, used: 2, kept: 1 },
      members: [
        { id: 0, thread: threadId, state: 'control', references: 3 },
        { id: worker.id, thread: worker.worker.threadId, state: 'attached', references: 1 },
      ],
      mounts: [
        { prefix: '/b', host: '*.example', state: 'draining', references: 1 },
        { prefix: '/a', state: 'active', references: 0, served: 3 },
      ],
    })
    expect(table.references).toBe(4)
    for (const lease of [...own, forced]) lease.release()
    await unmounted
    await worker.call('close')
    expect(table.snapshot()).toMatchObject({ members: [{ id: 0 }, { state: 'left', references: 1 }] })
    await worker.terminate()
    table.removed(worker.id)
    expect(table.snapshot()).toMatchObject({ references: 0, slots: { used: 1, kept: 0 } })
    table.stop().catch(() => undefined)
    expect(table.snapshot().state).toBe('stopping')
  })

  test('17: a drain that a worker has ended is seen as drained, since that was seen', async () => {
    using table = new MountTable<string>({ members: 1 })
    const handle = table.share()
    const mount = await table.mount('/a', 'one')
    const stripe = SharedTable.open(handle.buffer).stripe(handle.stripe)
    stripe.acquire(mount.slot, slotWord(mount.generation, ACTIVE))
    const unmounted = table.unmount('/a')
    const [draining] = table.list()
    await expect.poll(() => Date.now()).toBeGreaterThan(draining?.since ?? 0)
    expect(stripe.release(mount.slot)).toBe(true)
    // No message has come about it.
    const [drained] = table.list()
    expect(drained).toMatchObject({ state: 'drained', references: 0 })
    expect(drained?.since).toBeGreaterThan(draining?.since ?? 0)
    await unmounted
  })

  test('11: a table, a member and a lease say what they are', async () => {
    const table = new MountTable<string, string>({ prepare: (spec) => spec })
    await table.mount('/a', 'one', { host: 'x.example' })
    await table.mount('/longer', 'two')
    const lease = table.lookup('/longer')!
    expect(String(table)).toBe(
      [
        'MountTable running, version 2, 1 lease',
        '  /longer     active  generation 2  1 lease   1 served',
        '  x.example/a  active  generation 1  0 leases  0 served',
        `  member 0  thread ${threadId}  1 lease`,
      ]
        .join('\n')
        .replace('/longer     ', '/longer      '),
    )
    expect(inspect({ lease })).toContain('Lease /longer, generation 2')
    lease.release()
    expect(String(lease)).toBe('Lease /longer, generation 2, released')
    const member = await MountTableMember.attach<string, string>(table.share(), { prepare: (spec) => spec })
    expect(inspect(member)).toBe('MountTableMember 1, running, 0 leases held here')
    member.close()
    expect(String(member)).toBe('MountTableMember 1, closed')
    table.close()
    expect(inspect(table)).toBe('MountTable closed')
  })

  test('after close() everything is refused, and closing twice is fine', async () => {
    const { table, cleaned } = singleThreaded()
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')
    const unmounted = table.unmount('/a')
    table.close()
    table.close()
    expect(await codeOf(unmounted)).toBe('EBADF')
    expect(await codeOf(table.mount('/b', 'x'))).toBe('EBADF')
    for (const call of [
      () => table.lookup('/a'),
      () => table.list(),
      () => table.share(),
      () => {
        table.start()
      },
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: 'EBADF', errno: -9 }))
    }
    lease?.release()
    await Promise.resolve()
    expect(cleaned).toEqual([])
  })

  test('after close() nothing is cleaned up, not even what was released just before', async () => {
    const { table, cleaned } = singleThreaded()
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')
    const unmounted = table.unmount('/a')
    lease?.release()
    table.close()
    expect(await codeOf(unmounted)).toBe('EBADF')
    expect(cleaned).toEqual([])
  })
})
