import { MountTableError } from './errors.ts'
import type { Generation } from './generation.ts'
import { within, type Limits } from './limits.ts'
import type { Content } from './mount-hooks.ts'
import { MountPoint } from './mount-point.ts'
import { label, type Place } from './place.ts'
import type { Committed, Rolled, Rollout, Step } from './rollout.ts'
import { CLOSED, RUNNING, type SharedTable } from './shared-table.ts'

export type Successor<Spec> = Rolled<Spec>

/** What is to be mounted at a place. */
export interface Wanted<Spec> {
  readonly where: Place
  readonly content: Content<Spec>
}

/** How one generation of a mount point follows another: as the first, as a replacement, or as the one before. */
export class Succession<Spec, Handler> {
  readonly #shared: SharedTable
  readonly #rollout: Rollout<Spec, Handler>
  readonly #drainingLimit: number

  constructor(shared: SharedTable, rollout: Rollout<Spec, Handler>, drainingLimit: number) {
    this.#shared = shared
    this.#rollout = rollout
    this.#drainingLimit = drainingLimit
  }

  async mount(
    syscall: string,
    where: Place,
    content: Content<Spec>,
    limits: Limits,
  ): Promise<Generation<Spec>> {
    this.refuseUnlessRunning(syscall)
    const known = this.#rollout.point(where.host, where.prefix)
    if (known?.current !== undefined || known?.preparation !== undefined) {
      throw new MountTableError('ERR_MOUNT_TAKEN', syscall, `${label(where)} is mounted; use replace()`)
    }
    const point = known ?? new MountPoint<Spec>(where.host, where.prefix)
    // Without anything that drains, a limit of zero stands in nobody's way.
    if (point.lineage.draining().length > 0) this.#checkLimit(syscall, point)
    const { generation } = await this.#rollout.roll(syscall, 'mounted', point, content, limits)
    return generation
  }

  async replace(where: Place, content: Content<Spec>, limits: Limits): Promise<Successor<Spec>> {
    return this.#follow('replace', 'replaced', where, limits, () => content)
  }

  async rollback(where: Place, limits: Limits): Promise<Successor<Spec>> {
    return this.#follow('rollback', 'rolledBack', where, limits, ({ lineage: { previous } }) => {
      if (previous !== undefined) return previous
      throw new MountTableError(
        'ERR_MOUNT_NO_PREVIOUS',
        'rollback',
        `nothing was replaced at ${label(where)} since it was mounted`,
      )
    })
  }

  /** Puts all these in the place of everything that is mounted. Tells the new generations and those that drain. */
  async replaceAll(
    wanted: readonly Wanted<Spec>[],
    limits: Limits,
  ): Promise<{ generations: Generation<Spec>[]; old: Generation<Spec>[] }> {
    const places = new Map(wanted.map((each) => [MountPoint.key(each.where.host, each.where.prefix), each]))
    const started = performance.now()
    this.refuseUnlessRunning('replaceAll')
    for (let busy = this.#busy(places); busy.length > 0; busy = this.#busy(places)) {
      await within(Promise.all(busy), remaining(limits, started), () => lateTurn('replaceAll'))
      this.refuseUnlessRunning('replaceAll')
    }
    const steps = [...places.values()].map(({ where, content }): Step<Spec> => {
      const known = this.#rollout.point(where.host, where.prefix)
      const point = known ?? new MountPoint<Spec>(where.host, where.prefix)
      if (point.lineage.draining().length > 0) this.#checkLimit('replaceAll', point)
      return { event: point.current === undefined ? 'mounted' : 'replaced', point, content }
    })
    let removed: Generation<Spec>[] = []
    const withdraw = (): Generation<Spec>[] => {
      const left = this.#rollout
        .points()
        .filter(({ current, key }) => current !== undefined && !places.has(key))
      removed = this.#rollout.detachCurrent(left, replacedByOthers)
      return removed
    }
    const rolled = await this.#rollout.rollAll('replaceAll', steps, remaining(limits, started), withdraw)
    return {
      generations: rolled.map(({ generation }) => generation),
      old: [...rolled.flatMap(({ old }) => (old === undefined ? [] : [old])), ...removed],
    }
  }

  /** The ends of what is being prepared at these places. */
  #busy(places: ReadonlyMap<string, Wanted<Spec>>): Promise<void>[] {
    return [...places.values()].flatMap(({ where: { host, prefix } }) => {
      const preparation = this.#rollout.point(host, prefix)?.preparation
      return preparation === undefined ? [] : [preparation.finished]
    })
  }

  /** @throws MountTableError ERR_MOUNT_NOT_FOUND */
  mounted(syscall: string, where: Place): MountPoint<Spec> {
    const point = this.#rollout.point(where.host, where.prefix)
    if (point?.current === undefined) {
      const hint = point === undefined ? '' : '; it drains already, drain() waits for it'
      throw new MountTableError(
        'ERR_MOUNT_NOT_FOUND',
        syscall,
        `nothing is mounted at ${label(where)}${hint}`,
      )
    }
    return point
  }

  /** @throws MountTableError ERR_MOUNT_STOPPING, EBADF */
  refuseUnlessRunning(syscall: string): void {
    if (this.#shared.tableState === CLOSED) throw closed(syscall)
    if (this.#shared.tableState !== RUNNING) throw stopping(syscall)
  }

  /** What comes is chosen when the turn has come: what is before it may have changed in between. */
  async #follow(
    syscall: string,
    event: Committed,
    where: Place,
    limits: Limits,
    choose: (point: MountPoint<Spec>) => Content<Spec>,
  ): Promise<Successor<Spec>> {
    this.refuseUnlessRunning(syscall)
    const started = performance.now()
    let point = this.mounted(syscall, where)
    while (point.preparation !== undefined) {
      await within(point.preparation.finished, remaining(limits, started), () => lateTurn(syscall))
      this.refuseUnlessRunning(syscall)
      point = this.mounted(syscall, where)
    }
    const content = choose(point)
    this.#checkLimit(syscall, point)
    return this.#rollout.roll(syscall, event, point, content, remaining(limits, started))
  }

  #checkLimit(syscall: string, point: MountPoint<Spec>): void {
    if (point.lineage.draining().length < this.#drainingLimit) return
    throw new MountTableError(
      'ERR_MOUNT_DRAINING_LIMIT',
      syscall,
      `${this.#drainingLimit} generations of ${label(point)} still drain; drain() them with force, or wait`,
    )
  }
}

export const closed = (syscall: string): MountTableError =>
  new MountTableError('EBADF', syscall, 'the table is closed')

export const stopping = (syscall: string): MountTableError =>
  new MountTableError(
    'ERR_MOUNT_STOPPING',
    syscall,
    'the table is stopping; start() it after stop() has resolved',
  )

const replacedByOthers = (syscall: string): MountTableError =>
  new MountTableError('ERR_MOUNT_NOT_FOUND', syscall, 'it was unmounted by replaceAll()')

const lateTurn = (syscall: string): MountTableError =>
  new MountTableError('ERR_MOUNT_PREPARE', syscall, 'the deadline passed while an earlier replace() went on')

/** The limits that are left of a call that began at `started`. */
function remaining({ deadline, signal }: Limits, started: number): Limits {
  return {
    ...(deadline !== undefined && { deadline: Math.max(0, deadline - (performance.now() - started)) }),
    ...(signal !== undefined && { signal }),
  }
}
