import { MountTableError } from './errors.ts'
import type { Generation } from './generation.ts'
import { within, type Limits } from './limits.ts'
import type { Content } from './mount-hooks.ts'
import { MountPoint } from './mount-point.ts'
import { label, type Place } from './place.ts'
import type { Committed, Rollout } from './rollout.ts'
import { CLOSED, RUNNING, type SharedTable } from './shared-table.ts'

export interface Successor<Spec> {
  readonly generation: Generation<Spec>
  readonly old: Generation<Spec> | undefined
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

const lateTurn = (syscall: string): MountTableError =>
  new MountTableError('ERR_MOUNT_PREPARE', syscall, 'the deadline passed while an earlier replace() went on')

/** The limits that are left of a call that began at `started`. */
function remaining({ deadline, signal }: Limits, started: number): Limits {
  return {
    ...(deadline !== undefined && { deadline: Math.max(0, deadline - (performance.now() - started)) }),
    ...(signal !== undefined && { signal }),
  }
}
