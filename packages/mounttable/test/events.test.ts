import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MountTable, MountTableMember } from '../src/index.ts'
import type { MemberEvent, MountEvent, TableEvent } from '../src/index.ts'

const NAMES = [
  ...['preparing', 'mounted', 'replaced', 'rolledBack', 'aborted', 'draining', 'late', 'forced', 'drained'],
  ...['cleaned', 'disposeFailed', 'stopping', 'stopped', 'started', 'closed'],
  ...['memberJoined', 'memberLeft', 'memberRemoved'],
]

type AnyEvent = Partial<MountEvent & TableEvent & MemberEvent>

describe('events', () => {
  let seen: string[] = []
  let errors: unknown[] = []

  const listener = (event: unknown, channel: unknown): void => {
    const { mount, error, holders, version, member } = event as AnyEvent
    const of = mount === undefined ? (version ?? member) : `${String(mount.spec)} ${mount.generation}`
    const held = holders === undefined ? '' : ` ${holders.map((each) => each.count).join()}`
    seen.push(`${String(channel).slice('x.mounttable.'.length)} ${String(of)}${held}`)
    if (error !== undefined) errors.push(error)
  }

  beforeEach(() => {
    for (const name of NAMES) subscribe(`x.mounttable.${name}`, listener)
  })

  afterEach(() => {
    for (const name of NAMES) unsubscribe(`x.mounttable.${name}`, listener)
  })

  /** What was published since the last call. */
  const heard = (): string[] => seen.splice(0)

  test('each transition is published once: of a mount, a table and a member', async () => {
    seen = []
    errors = []
    const table = new MountTable<string, string>({
      prepare: (spec) => {
        if (spec === 'bad') throw new Error('will not load')
        return spec
      },
      cleanup: ({ spec }) => {
        if (spec === 'three') throw new Error('will not end')
      },
    })

    // In another slot than the one below it, so that each line has one reason.
    await table.mount('/a', 'one')
    expect(heard()).toEqual(['preparing one 1', 'mounted one 1'])

    await table.mount('/b', 'bad').catch(() => undefined)
    expect(heard()).toEqual(['preparing bad 2', 'aborted bad 2'])
    expect(errors.splice(0)).toMatchObject([{ code: 'ERR_MOUNT_PREPARE' }])

    await (
      await table.replace('/a', 'two')
    ).drained
    expect(heard()).toEqual([
      'preparing two 3',
      'replaced two 3',
      'draining one 1',
      'drained one 1',
      'cleaned one 1',
    ])

    const lease = table.lookup('/a')!
    const back = await table.rollback('/a')
    expect(heard()).toEqual(['preparing one 4', 'rolledBack one 4', 'draining two 3'])
    expect(back.mount.spec).toBe('one')

    await table.drain('/a', { deadline: 5 }).catch(() => undefined)
    expect(heard()).toEqual(['late two 3 1'])
    await table.drain('/a', { force: true })
    expect(heard()).toEqual(['forced two 3', 'drained two 3', 'cleaned two 3'])
    lease.release()
    expect(heard()).toEqual([])

    const member = await MountTableMember.attach<string, string>(table.share(), {
      prepare: (spec) => spec,
      dispose: () => {
        throw new Error('will not be disposed of')
      },
    })
    expect(heard()).toEqual(['memberJoined 1'])
    member.close()
    await expect.poll(() => seen).toHaveLength(3)
    expect(heard().sort()).toEqual(['disposeFailed one 4', 'memberLeft 1', 'memberRemoved 1'])
    expect(errors.splice(0)).toMatchObject([{ message: 'will not be disposed of' }])

    await (
      await table.replace('/a', 'three')
    ).drained
    heard()
    const { version } = table
    await table.stop().catch(() => undefined)
    await table.stop()
    expect(heard()).toEqual([
      `stopping ${version}`,
      'draining three 5',
      'drained three 5',
      'cleaned three 5',
      `stopped ${version + 1}`,
    ])
    expect(errors.splice(0)).toMatchObject([{ message: 'will not end' }])

    table.start()
    table.start()
    table.close()
    table.close()
    expect(heard()).toEqual([`started ${version + 1}`, `closed ${version + 1}`])
  })

  test('an empty table that stops has stopped', async () => {
    seen = []
    const table = new MountTable()
    await table.stop()
    expect(heard()).toEqual(['stopping 0', 'stopped 0'])
  })
})
