import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import type { Generation } from './generation.ts'
import { Generations, type Cleanup } from './generations.ts'
import type { MountTableHandle } from './handle.ts'
import type { Lease } from './lease.ts'
import { checkNumber, checkOptions, within, type Limits } from './limits.ts'
import { CONTROL, Members } from './members.ts'
import type { ToControl } from './messages.ts'
import type { Dispose, MountInfo, Prepare } from './mount.ts'
import { MountPoint } from './mount-point.ts'
import { checkHost } from './host.ts'
import { canonicalPrefix } from './path.ts'
import { Replica, type Callbacks } from './replica.ts'
import { Rollout } from './rollout.ts'
import { CLOSED, MAX_SLOTS, MAX_STRIPES, RUNNING, SharedTable, STOPPING } from './shared-table.ts'

export interface MountTableOptions<Spec, Handler> {
  /** Generations that can exist at once, those that drain included. Default 1024. */
  readonly slots?: number
  /** Workers that can be members at once. Default 64. */
  readonly members?: number
  /** Generations of one mount point that may drain at once before replace() is refused. Default 16. */
  readonly drainingLimit?: number
  /** Runs in this thread, once a generation, after its last lease is back. Its slot is not used again before. */
  readonly cleanup?: Cleanup<Spec>
  /** Makes this thread one that looks up, too. */
  readonly prepare?: Prepare<Spec, Handler>
  readonly dispose?: Dispose<Spec, Handler>
}

export interface MountOptions extends Limits {
  /** Only requests for this host. */
  readonly host?: string
}

export interface DrainOptions extends Limits {
  /**
   * At the deadline, do not wait any longer for the leases that are still held: abort their signals and clean up.
   * Without a deadline, at once.
   */
  readonly force?: boolean
}

export interface UnmountOptions extends DrainOptions {
  readonly host?: string
}

export interface Replacement<Spec> {
  readonly mount: MountInfo<Spec>
  /** Settles when what was replaced is cleaned up; rejects with ERR_MOUNT_CLEANUP when that failed. */
  readonly drained: Promise<void>
}

/** The control thread's end of a table: the only one that changes it. */
export class MountTable<Spec = unknown, Handler = unknown> {
  readonly #shared: SharedTable
  readonly #members: Members<Spec>
  readonly #generations: Generations<Spec>
  readonly #rollout: Rollout<Spec, Handler>
  readonly #replica: Replica<Spec, Handler> | undefined
  readonly #drainingLimit: number

  /** @throws MountTableError EINVAL */
  constructor(options: MountTableOptions<Spec, Handler> = {}) {
    const known = ['slots', 'members', 'drainingLimit', 'cleanup', 'prepare', 'dispose']
    checkOptions('MountTable', options, known)
    const { slots = 1024, members = 64, drainingLimit = 16, cleanup, prepare, dispose } = options
    checkCount('slots', slots, 1, MAX_SLOTS)
    checkCount('members', members, 0, MAX_STRIPES - 1)
    checkCount('drainingLimit', drainingLimit, 0, MAX_SLOTS)
    this.#drainingLimit = drainingLimit
    this.#shared = SharedTable.create(slots, members + 1)
    this.#members = new Members(this.#shared, {
      message: (id, message) => {
        this.#receive(id, message)
      },
      closed: (id) => {
        this.removed(id)
      },
    })
    this.#generations = new Generations(this.#shared, this.#members, cleanup, {
      retired: (name) => {
        this.#replica?.retire(name)
        this.#members.broadcast({ type: 'retire', name })
      },
      forced: (name) => {
        this.#replica?.force(name)
        this.#members.broadcast({ type: 'force', name })
      },
      gone: ({ mount: { host, prefix } }) => {
        this.#rollout.forgetIfUnused(host, prefix)
      },
    })
    this.#replica = prepare && this.#ownReplica(dispose === undefined ? { prepare } : { prepare, dispose })
    this.#rollout = new Rollout(this.#shared, this.#members, this.#generations, this.#replica)
  }

  /** True from stop() on, until start(). */
  get stopping(): boolean {
    return this.#shared.tableState !== RUNNING
  }

  /** Rises by one with every change of what lookups find, and starts again after 2^32. */
  get version(): number {
    return this.#shared.version >>> 0
  }

  /** Leases held, of all mounts and in all threads. */
  get references(): number {
    return this.#shared.total()
  }

  /**
   * Reserves a place for a worker, which joins with {@link MountTableMember.attach}.
   *
   * @throws MountTableError ERR_MOUNT_MEMBERS when all places are taken; EBADF after close().
   */
  share(): MountTableHandle {
    this.#refuseIfClosed('share')
    return this.#members.share()
  }

  /**
   * Prepares a spec in all threads, and then makes it visible in all; or in none.
   *
   * @throws MountTableError ERR_MOUNT_TAKEN when there is a mount at this host and prefix (see replace());
   *   ERR_MOUNT_PREPARE when a thread could not prepare it or the deadline passed; ERR_MOUNT_PREFIX,
   *   ERR_MOUNT_SPEC (it cannot be cloned), ERR_MOUNT_SLOTS, ERR_MOUNT_STOPPING, EBADF, EINVAL.
   */
  async mount(prefix: string, spec: Spec, options: MountOptions = {}): Promise<MountInfo<Spec>> {
    const where = this.#locate('mount', prefix, options, ['host', 'deadline', 'signal'])
    this.#refuseUnlessRunning('mount')
    const copy = copySpec('mount', spec)
    const known = this.#rollout.point(where.host, where.prefix)
    if (known?.current !== undefined || known?.preparation !== undefined) {
      throw new MountTableError('ERR_MOUNT_TAKEN', 'mount', `${label(where)} is mounted; use replace()`)
    }
    const point = known ?? new MountPoint<Spec>(where.host, where.prefix)
    const { generation } = await this.#rollout.roll('mount', point, copy, options)
    publishEvent('mounted', { mount: generation.mount })
    return this.#generations.describe(generation)
  }

  /**
   * Puts a new generation in the place of the mounted one. When this resolves, every lookup in every thread finds
   * the new one; only then the old one drains. Calls for one mount point take turns.
   *
   * @throws MountTableError ERR_MOUNT_NOT_FOUND; ERR_MOUNT_DRAINING_LIMIT when too many earlier generations still
   *   drain; else as mount(). The old generation stays as it is then.
   */
  async replace(prefix: string, spec: Spec, options: MountOptions = {}): Promise<Replacement<Spec>> {
    const where = this.#locate('replace', prefix, options, ['host', 'deadline', 'signal'])
    this.#refuseUnlessRunning('replace')
    const copy = copySpec('replace', spec)
    const started = performance.now()
    let point = this.#mounted('replace', where)
    while (point.preparation !== undefined) {
      await within(point.preparation.finished, remaining(options, started), lateTurn)
      this.#refuseUnlessRunning('replace')
      point = this.#mounted('replace', where)
    }
    if (point.lineage.draining().length >= this.#drainingLimit) {
      throw new MountTableError(
        'ERR_MOUNT_DRAINING_LIMIT',
        'replace',
        `${this.#drainingLimit} generations of ${label(where)} still drain; drain() them with force, or wait`,
      )
    }
    const { generation, old } = await this.#rollout.roll('replace', point, copy, remaining(options, started))
    publishEvent('replaced', { mount: generation.mount })
    return { mount: this.#generations.describe(generation), drained: old?.gone ?? Promise.resolve() }
  }

  /**
   * Makes a mount unreachable at once, and resolves after its last lease and its clean-up.
   *
   * @throws MountTableError ERR_MOUNT_NOT_FOUND; ERR_MOUNT_DRAIN_DEADLINE, which names the holders, and the mount
   *   goes on draining; ERR_MOUNT_CLEANUP; ERR_MOUNT_PREFIX; EBADF; EINVAL.
   */
  async unmount(prefix: string, options: UnmountOptions = {}): Promise<void> {
    const where = this.#locate('unmount', prefix, options, ['host', 'deadline', 'signal', 'force'])
    const point = this.#mounted('unmount', where)
    const removed = this.#rollout.withdraw(
      [point],
      (syscall) => new MountTableError('ERR_MOUNT_NOT_FOUND', syscall, `${label(where)} was unmounted`),
    )
    for (const generation of removed) this.#generations.drain(generation)
    await this.#gone('unmount', removed, options)
  }

  /**
   * Waits until what drains at a prefix, or one generation of it, is cleaned up. It starts no drain. A handler that
   * waits here for a lease it holds itself waits until the deadline.
   *
   * @throws MountTableError ERR_MOUNT_NOT_FOUND when the one generation is mounted, not draining;
   *   ERR_MOUNT_DRAIN_DEADLINE; ERR_MOUNT_CLEANUP; EBADF; EINVAL.
   */
  async drain(which: string | MountInfo<Spec>, options: UnmountOptions = {}): Promise<void> {
    if (typeof which === 'string') {
      const where = this.#locate('drain', which, options, ['host', 'deadline', 'signal', 'force'])
      const point = this.#rollout.point(where.host, where.prefix)
      await this.#gone('drain', point?.lineage.draining() ?? [], options)
      return
    }
    this.#refuseIfClosed('drain')
    checkOptions('drain', options, ['deadline', 'signal', 'force'])
    const generation = this.#generations.named(which)
    if (generation === undefined) return
    if (generation.drainingSince === 0) {
      throw new MountTableError(
        'ERR_MOUNT_NOT_FOUND',
        'drain',
        `${label(which)} is mounted; unmount() it first`,
      )
    }
    await this.#gone('drain', [generation], options)
  }

  /**
   * Unmounts everything and refuses new mounts. Resolves when the last lease of all is back and all is cleaned up.
   * Calling it again waits for the same.
   *
   * @throws MountTableError ERR_MOUNT_DRAIN_DEADLINE, ERR_MOUNT_CLEANUP, EBADF, EINVAL.
   */
  async stop(options: DrainOptions = {}): Promise<void> {
    this.#refuseIfClosed('stop')
    checkOptions('stop', options, ['deadline', 'signal', 'force'])
    this.#shared.tableState = STOPPING
    const points = this.#rollout.points()
    const cancelled = points.flatMap(({ preparation }) => preparation?.finished ?? [])
    for (const generation of this.#rollout.withdraw(points, stopping)) this.#generations.drain(generation)
    // Taken now: the table may be started and filled again before the next line runs.
    const leaving = this.#generations.all().filter(({ drainingSince }) => drainingSince > 0)
    await Promise.all(cancelled)
    await this.#gone('stop', leaving, options)
  }

  /**
   * Opens an empty table again after stop().
   *
   * @throws MountTableError ERR_MOUNT_STOPPING while something still drains; EBADF.
   */
  start(): void {
    this.#refuseIfClosed('start')
    if (!this.stopping) return
    if (this.#generations.all().length > 0) throw stopping('start')
    this.#shared.tableState = RUNNING
  }

  /** All generations that exist, in one consistent view, by prefix and then by age. */
  list(): MountInfo<Spec>[] {
    this.#refuseIfClosed('list')
    const points = this.#rollout.points().sort((a, b) => (a.key < b.key ? -1 : 1))
    return points.flatMap((point) =>
      [...point.lineage.generations].map((each) => this.#generations.describe(each)),
    )
  }

  /**
   * Says that a member's thread has ended, so that what it held is released. Only for a thread that runs no more:
   * after Worker's `exit` event. The table notices by itself when the thread's port closes; this is earlier.
   * An id that is gone already is ignored.
   */
  removed(memberId: number): void {
    const known = this.#members.remove(memberId, (stripe) => {
      this.#generations.foldServed(stripe)
    })
    if (!known) return
    this.#rollout.detach(memberId)
    for (const generation of this.#generations.all()) this.#generations.check(generation)
  }

  /**
   * As the member's lookup(), in this thread. Needs the option `prepare`.
   *
   * @throws MountTableError ERR_MOUNT_TARGET; EINVAL without `prepare`; EBADF after close().
   */
  lookup(target: string, host?: string): Lease<Handler, Spec> | undefined {
    if (this.#replica === undefined) {
      throw new MountTableError(
        'EINVAL',
        'lookup',
        "this thread has no handlers; give the table the option 'prepare'",
      )
    }
    if (this.#shared.tableState !== RUNNING) this.#refuseIfClosed('lookup')
    return this.#replica.lookup(target, host)
  }

  /**
   * Ends the table without waiting: everything is withdrawn, nothing more is cleaned up, and what still waits
   * rejects with EBADF. Call stop() before to drain. Closing twice is fine.
   */
  close(): void {
    if (this.#shared.tableState === CLOSED) return
    this.#shared.tableState = CLOSED
    this.#rollout.withdraw(this.#rollout.points(), closed)
    this.#generations.close(closed('close'))
    this.#members.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #ownReplica(callbacks: Callbacks<Spec, Handler>): Replica<Spec, Handler> {
    return new Replica(this.#shared.stripe(CONTROL), callbacks, {
      // Publications reach this thread's own replica before their version is stored.
      refresh: () => undefined,
      drained: (slot) => {
        this.#drained(slot)
      },
    })
  }

  #receive(member: number, message: ToControl): void {
    switch (message.type) {
      case 'attach':
        this.#rollout.attach(member)
        break
      case 'prepared':
        this.#rollout.answer(member, message.name, message.error)
        break
      case 'drained':
        this.#drained(message.slot)
        break
      case 'leave':
        this.#rollout.detach(member)
    }
  }

  #drained(slot: number): void {
    const generation = this.#generations.inSlot(slot)
    if (generation !== undefined) this.#generations.check(generation)
  }

  /** Checks everything about a call that can be checked before something changes. */
  #locate(syscall: string, prefix: string, options: { host?: string }, known: readonly string[]): Place {
    this.#refuseIfClosed(syscall)
    checkOptions(syscall, options, known)
    const { host } = options
    return {
      prefix: canonicalPrefix(syscall, prefix) || '/',
      host: host === undefined ? undefined : checkHost(syscall, host),
    }
  }

  #mounted(syscall: string, where: Place): MountPoint<Spec> {
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

  async #gone(
    syscall: string,
    generations: readonly Generation<Spec>[],
    options: DrainOptions,
  ): Promise<void> {
    const { force = false, ...limits } = options
    const force_ = (): void => {
      for (const generation of generations) this.#generations.force(generation)
    }
    const all = settled(generations)
    if (force && limits.deadline === undefined) force_()
    try {
      await within(all, limits, () => this.#drainDeadline(syscall, generations))
    } catch (error) {
      const late = error instanceof MountTableError && error.code === 'ERR_MOUNT_DRAIN_DEADLINE'
      if (!force || !late) throw error
      force_()
      const { signal } = limits
      await within(all, signal === undefined ? {} : { signal }, () => error)
    }
  }

  #drainDeadline(syscall: string, generations: readonly Generation<Spec>[]): MountTableError {
    const holders = generations.flatMap((generation) => this.#generations.holders(generation))
    const who = holders.map(
      ({ member, count, age }) => `member ${member} holds ${count} for at least ${age} ms`,
    )
    return new MountTableError(
      'ERR_MOUNT_DRAIN_DEADLINE',
      syscall,
      `the deadline passed; ${who.join(', ') || 'the clean-up still runs'}`,
      { holders },
    )
  }

  #refuseIfClosed(syscall: string): void {
    if (this.#shared.tableState === CLOSED) throw new MountTableError('EBADF', syscall, 'the table is closed')
  }

  #refuseUnlessRunning(syscall: string): void {
    this.#refuseIfClosed(syscall)
    if (this.stopping) throw stopping(syscall)
  }
}

interface Place {
  readonly host: string | undefined
  readonly prefix: string
}

const label = ({ host, prefix }: Place): string => `${host ?? ''}${prefix}`

const stopping = (syscall: string): MountTableError =>
  new MountTableError(
    'ERR_MOUNT_STOPPING',
    syscall,
    'the table is stopping; start() it after stop() has resolved',
  )

const closed = (syscall: string): MountTableError =>
  new MountTableError('EBADF', syscall, 'the table was closed')

const lateTurn = (): MountTableError =>
  new MountTableError(
    'ERR_MOUNT_PREPARE',
    'replace',
    'the deadline passed while an earlier replace() went on',
  )

function checkCount(name: string, value: unknown, least: number, most: number): void {
  checkNumber('MountTable', name, value, least, most)
  if (!Number.isInteger(value)) {
    throw new MountTableError('EINVAL', 'MountTable', `option '${name}' must be a whole number`)
  }
}

/** The limits that are left of a call that began at `started`. */
function remaining(limits: Limits, started: number): Limits {
  const { deadline, signal } = limits
  return {
    ...(deadline !== undefined && { deadline: Math.max(0, deadline - (performance.now() - started)) }),
    ...(signal !== undefined && { signal }),
  }
}

/** A copy, because members that join later get it as it is now. */
function copySpec<Spec>(syscall: string, spec: Spec): Spec {
  try {
    return structuredClone(spec)
  } catch (cause) {
    throw new MountTableError(
      'ERR_MOUNT_SPEC',
      syscall,
      'a spec must be something structuredClone() can copy',
      {
        cause,
      },
    )
  }
}

/** Waits for all, and then fails if one did. */
async function settled(generations: readonly Generation<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(generations.map((generation) => generation.gone))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}
