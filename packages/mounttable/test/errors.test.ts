import { describe, expect, test } from 'vitest'
import { MountTable, MountTableError, MountTableMember, type MountTableOptions } from '../src/index.ts'
import { codeOf } from './fixtures/workers.ts'

describe('MountTableError', () => {
  test('instanceof holds across two copies of the package', async () => {
    const copy = (await import('@x/mounttable')) as { MountTableError: typeof MountTableError }
    expect(copy.MountTableError).not.toBe(MountTableError)
    expect(new MountTableError('EINVAL', 'test', 'no')).toBeInstanceOf(copy.MountTableError)
    expect(new copy.MountTableError('EINVAL', 'test', 'no')).toBeInstanceOf(MountTableError)
    expect(new Error('other')).not.toBeInstanceOf(MountTableError)
    for (const value of [null, undefined, 1, 'EINVAL']) expect(value).not.toBeInstanceOf(MountTableError)
  })

  test('it has code, error number and function', () => {
    expect(new MountTableError('EINVAL', 'mount', 'say what to do')).toMatchObject({
      name: 'MountTableError',
      code: 'EINVAL',
      errno: -22,
      syscall: 'mount',
      message: 'EINVAL: say what to do, mount',
      holders: [],
    })
    expect(new MountTableError('ERR_MOUNT_TAKEN', 'mount', '').errno).toBeUndefined()
  })

  test.each([
    { slot: 1 },
    { slots: 0 },
    { slots: 1.5 },
    { slots: '1' },
    { members: -1 },
    { members: 2000 },
    { slots: 2 ** 20, members: 1024 },
  ])('a table with %o is refused', (options) => {
    expect(() => new MountTable(options as MountTableOptions<unknown, unknown>)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    )
  })

  test('unknown options and impossible limits are refused before anything changes', async () => {
    const table = new MountTable<string>()
    await table.mount('/a', 'one')
    const version = table.version
    const calls = [
      table.mount('/b', 'x', { hosts: 'h' } as object),
      table.mount('/b', 'x', { deadline: -1 }),
      table.mount('/b', 'x', { deadline: Number.NaN }),
      table.mount('/b', 'x', { signal: {} as AbortSignal }),
      table.replace('/a', 'x', { force: true } as object),
      table.unmount('/a', { forced: true } as object),
      table.drain('/a', { deadline: '1' } as object),
      table.stop({ host: 'h' } as object),
    ]
    for (const call of calls) expect(await codeOf(call)).toBe('EINVAL')
    expect(table.version).toBe(version)
    expect(table.stopping).toBe(false)
    expect(table.list()).toHaveLength(1)
  })

  test('attach() refuses what it does not know', async () => {
    const table = new MountTable<string>()
    const handle = table.share()
    const prepare = (spec: string): string => spec
    expect(
      await codeOf(MountTableMember.attach(handle, { prepare, retry: true } as { prepare: typeof prepare })),
    ).toBe('EINVAL')
    expect(await codeOf(MountTableMember.attach(handle, {} as { prepare: typeof prepare }))).toBe('EINVAL')
    table.close()
  })

  test('a table without handlers of its own does not look up', () => {
    expect(() => new MountTable().lookup('/')).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  })

  test('what is no text and what are no options is refused by a code, not by a TypeError', async () => {
    const table = new MountTable<string, string>({ prepare: (spec) => spec })
    await table.mount('/a', 'one')
    const refused = expect.objectContaining({ code: 'EINVAL' }) as Error
    expect(() => table.lookup(5 as unknown as string)).toThrow(refused)
    expect(() => table.lookup('/a', 5 as unknown as string)).toThrow(refused)
    expect(() => new MountTable(null as unknown as object)).toThrow(refused)
    for (const options of [null, 5, 'x']) {
      expect(await codeOf(table.mount('/b', 'x', options as unknown as object))).toBe('EINVAL')
      expect(await codeOf(table.stop(options as unknown as object))).toBe('EINVAL')
      expect(await codeOf(MountTableMember.attach(table.share(), options as never))).toBe('EINVAL')
    }
    expect(table.list()).toHaveLength(1)
    table.close()
  })

  test('an error names the function that failed', async () => {
    const table = new MountTable<string, string>({
      prepare: (spec) => {
        if (spec === 'bad') throw new Error('will not load')
        return spec === 'slow' ? new Promise<string>(() => undefined) : spec
      },
    })
    await table.mount('/a', 'one')
    await expect(table.replace('/a', 'bad')).rejects.toMatchObject({ syscall: 'replace' })
    await expect(table.mount('/b', 'bad')).rejects.toMatchObject({ syscall: 'mount' })
    const [replacing, mounting] = [table.replace('/a', 'slow'), table.mount('/b', 'slow')]
    const stopped = table.stop()
    await expect(replacing).rejects.toMatchObject({ code: 'ERR_MOUNT_STOPPING', syscall: 'replace' })
    await expect(mounting).rejects.toMatchObject({ code: 'ERR_MOUNT_STOPPING', syscall: 'mount' })
    await stopped
  })
})
