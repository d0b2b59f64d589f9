import { describe, expect, test } from 'vitest'
import { MountTable, type MountInfo } from '../src/index.ts'
import { ACTIVE, DRAINING, FREE, INIT, SharedTable, slotWord } from '../src/shared-table.ts'
import { codeOf, ControlWorker, gate, TestWorker } from './fixtures/workers.ts'

type Cleaned = Pick<MountInfo<unknown>, 'prefix' | 'generation' | 'spec'>

const brief = ({ prefix, state, references }: MountInfo<unknown>): [string, string, number] => [
  prefix,
  state,
  references,
]

describe('recovery', () => {
  test('63: the control thread is terminated; another one takes over, while two members hold leases', async () => {
    const control = new ControlWorker()
    const start = async (): Promise<TestWorker> => {
      const handle = await control.share()
      return TestWorker.start({ share: () => handle })
    }
    const [first, second] = [await start(), await start()]
    await control.call('mount', '/a', { name: 'one' })
    await control.call('mount', '/b', { name: 'two' }, { host: '*.example' })
    await control.call('mount', '/c', { name: 'three' })
    const leases = [await first.call('hold', '/a'), await second.call('hold', '/a')]
    await second.call('hold', '/b', 'x.example')
    await first.call('hold', '/c')
    await control.call('hold', '/c')
    await control.call('begin', 'unmount', '/b', { host: '*.example' })
    await control.call('begin', 'replace', '/a', { name: 'never', gate: gate() })
    const [buffer, mounts] = [await control.buffer(), await control.list()]
    expect(mounts.map(({ state }) => state)).toEqual(['draining', 'active', 'init', 'active'])
    await control.worker.terminate()

    const cleaned: Cleaned[] = []
    const { table, failed } = await MountTable.recover<unknown, unknown>(buffer, {
      mounts,
      prepare: (spec) => spec,
      cleanup: ({ prefix, generation, spec }) => void cleaned.push({ prefix, generation, spec }),
    })
    expect(failed).toEqual([])
    // What was being prepared never was; what the dead thread held itself is nobody's.
    expect(table.list().map(brief)).toEqual([
      ['/b', 'draining', 1],
      ['/a', 'draining', 2],
      ['/a', 'active', 0],
      ['/c', 'draining', 1],
      ['/c', 'active', 0],
    ])
    const greatest = Math.max(...mounts.map(({ generation }) => generation))
    for (const { state, generation } of table.list())
      if (state === 'active') expect(generation).toBeGreaterThan(greatest)
    const own = table.lookup('/a')
    expect(own?.handler).toEqual({ name: 'one' })
    own?.release()

    await expect(first.call('answer', '/a')).rejects.toMatchObject({ code: 'EBADF' })
    await expect(second.call('list')).rejects.toMatchObject({ code: 'EBADF' })
    const error = await table.drain('/a', { deadline: 10 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      holders: [
        { member: first.id, thread: undefined, prefix: '/a', count: 1 },
        { member: second.id, thread: undefined, prefix: '/a', count: 1 },
      ],
    })

    // They have no port to the new thread, and yet it learns of the last lease.
    await first.call('release', leases[0])
    await second.call('release', leases[1])
    await table.drain('/a')
    expect(cleaned).toEqual([{ prefix: '/a', generation: 1, spec: { name: 'one' } }])

    await second.terminate()
    table.removed(second.id)
    await table.drain('/b', { host: '*.example' })
    expect(cleaned).toHaveLength(2)

    const handle = table.share()
    expect(await first.reattach(handle)).toBe(handle.id)
    expect(await first.call('answer', '/a')).toBe('one')
    await first.call('release', 1)
    await table.drain('/c')
    expect(cleaned.map(({ prefix }) => prefix)).toEqual(['/a', '/b', '/c'])
    // With its last lease the old membership is over, and its place free.
    await expect
      .poll(() => table.snapshot().members.map(({ state }) => state))
      .toEqual(['control', 'attached'])
    const { drained } = await table.replace('/a', { name: 'new' })
    await drained
    expect(await first.call('answer', '/a')).toBe('new')
    await first.terminate()
    table.close()
  })

  /** A control thread of this thread that is left behind, as a dead one is. */
  async function left(): Promise<{ old: MountTable<string, string>; buffer: SharedArrayBuffer }> {
    const old = new MountTable<string, string>({ slots: 8, members: 2, prepare: (spec) => spec })
    await old.mount('/a', 'one')
    await old.mount('/b', 'two')
    return { old, buffer: old.buffer as SharedArrayBuffer }
  }

  test('63: what no list names is waited for, and nobody is asked to clean it up', async () => {
    const { old, buffer } = await left()
    const shared = SharedTable.open(buffer)
    const { slot, generation } = old.list()[1]!
    // A member that joins, takes a lease and is not heard of again.
    const member = shared.claim(1, shared.reserve(1), shared.epoch)
    expect(member.acquire(slot, slotWord(generation, ACTIVE))).toBe(true)
    const cleaned: string[] = []
    const { table } = await MountTable.recover<string, string>(buffer, {
      mounts: old.list().slice(0, 1),
      cleanup: ({ spec }) => void cleaned.push(spec),
    })
    await expect
      .poll(() => table.list().map(brief))
      .toEqual([
        ['', 'draining', 1],
        ['/a', 'active', 0],
      ])
    expect(cleaned).toEqual(['one'])
    table.removed(1)
    await expect.poll(() => table.list().map(brief)).toEqual([['/a', 'active', 0]])
    expect(cleaned).toEqual(['one'])
    table.close()
  })

  test('63: hooks are given again, and one that fails leaves its mount out and says so', async () => {
    const { old, buffer } = await left()
    const order: string[] = []
    const [a, b] = old.list()
    const { table, failed } = await MountTable.recover<string, string>(buffer, {
      mounts: [
        { ...a!, init: () => void order.push('init a'), cleanup: () => void order.push('cleanup a') },
        {
          ...b!,
          init: () => {
            throw new Error('no more')
          },
        },
      ],
    })
    expect(failed).toMatchObject([
      { mount: { prefix: '/b' }, error: { code: 'ERR_MOUNT_INIT', syscall: 'recover' } },
    ])
    await expect.poll(() => order).toEqual(['init a', 'cleanup a'])
    expect(table.list().map(brief)).toEqual([['/a', 'active', 0]])
    table.close()
  })

  test('63: a control thread that was taken for dead can change nothing', async () => {
    const { old, buffer } = await left()
    const { table } = await MountTable.recover<string, string>(buffer, { mounts: old.list() })
    expect(await codeOf(old.mount('/c', 'x'))).toBe('EBADF')
    expect(() => old.lookup('/a')).toThrow(expect.objectContaining({ code: 'EBADF' }))
    expect(await codeOf(old.unmount('/a'))).toBe('EBADF')
    expect(() => old.share()).toThrow(expect.objectContaining({ code: 'EBADF' }))
    old.close()
    expect(table.snapshot().state).toBe('running')
    table.close()
  })

  test('63: without a list nothing is mounted again, and the table is ready for mounts', async () => {
    const { buffer } = await left()
    const { table } = await MountTable.recover<string, string>(buffer, { prepare: (spec) => spec })
    expect(table.lookup('/a')).toBeUndefined()
    await table.mount('/a', 'three')
    expect(table.lookup('/a')?.handler).toBe('three')
    table.close()
  })

  test('63: of two that were active at one place the later one is mounted again', async () => {
    const { old, buffer } = await left()
    const [a] = old.list()
    const shared = SharedTable.open(buffer)
    const later = { ...a!, slot: 5, generation: shared.nextGeneration(5), spec: 'later' }
    shared.setWord(5, slotWord(later.generation, ACTIVE))
    const { table } = await MountTable.recover<string, string>(buffer, {
      mounts: [later, a!],
      prepare: (spec) => spec,
    })
    expect(table.lookup('/a')?.handler).toBe('later')
    table.close()
  })

  test('63: a table that was stopping goes on to stop, and mounts nothing', async () => {
    const { old, buffer } = await left()
    const lease = old.lookup('/a')
    void old.stop().catch(() => undefined)
    const { table } = await MountTable.recover<string, string>(buffer, { mounts: old.list() })
    expect(lease?.handler).toBe('one')
    expect(table.stopping).toBe(true)
    await table.stop()
    expect(table.list()).toEqual([])
    table.start()
    await table.mount('/a', 'again')
    table.close()
  })

  test('63: states of every kind are put right', () => {
    const shared = SharedTable.create(4, 2)
    shared.setWord(1, slotWord(shared.nextGeneration(1), ACTIVE))
    shared.nextGeneration(2)
    shared.setWord(3, slotWord(shared.nextGeneration(3), DRAINING))
    expect(shared.word(2) & 7).toBe(INIT)
    const { version, epoch } = shared
    shared.takeOver()
    expect([0, 1, 2, 3].map((slot) => shared.word(slot) & 7)).toEqual([FREE, DRAINING, FREE, DRAINING])
    expect(shared.epoch).toBe(epoch + 1)
    expect(shared.version).toBe(version + 2)
  })

  test('63: what cannot be taken over is refused and stays as it was', async () => {
    const { old, buffer } = await left()
    const recover = (from: unknown, options?: object): Promise<string | undefined> =>
      codeOf(MountTable.recover(from as SharedArrayBuffer, options))
    for (const mounts of [5, [5], [null], [{ prefix: '/a' }]]) {
      expect(await recover(buffer, { mounts })).toBe('EINVAL')
    }
    const [a] = old.list()
    expect(await recover(buffer, { mounts: [{ ...a, init: 1 }] })).toBe('EINVAL')
    expect(await recover(buffer, { mounts: [{ ...a, prefix: '/a/../b' }] })).toBe('ERR_MOUNT_PREFIX_FORM')
    expect(await recover(buffer, { slots: 8 })).toBe('EINVAL')
    expect(await recover(buffer, { cleanup: 1 })).toBe('EINVAL')
    expect(await recover(undefined)).toBe('ERR_MOUNT_LAYOUT')
    expect(await recover(new MountTable({ members: 0 }).buffer)).toBe('ERR_MOUNT_LAYOUT')
    expect(old.lookup('/a')?.handler).toBe('one')
    old.close()
    expect(await recover(buffer)).toBe('EBADF')
  })
})
