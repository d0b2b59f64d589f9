import { Drains, type DrainOptions } from './drains.ts'
import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import { Generations } from './generations.ts'
import type { MountTableHandle } from './handle.ts'
import { inspectAsText } from './inspection.ts'
import type { Lease } from './lease.ts'
import { checkOptions, type Limits } from './limits.ts'
import { CONTROL, Members } from './members.ts'
import type { ToControl } from './messages.ts'
import type { MountInfo, Prepare } from './mount.ts'
import { hooksOf, type Content, type MountHooks } from './mount-hooks.ts'
import { label, placeOf, type Place } from './place.ts'
import { adopt, KnownMounts, type KnownMount, type RecoveryOptions } from './recovery.ts'
import { Replica, type Callbacks } from './replica.ts'
import { Rollout } from './rollout.ts'
import { CLOSED, RUNNING, SharedTable, STOPPING } from './shared-table.ts'
import { copySpec } from './spec.ts'
import { closed, stopping, Succession, type Successor } from './succession.ts'
import { checkTableOptions, type MountTableOptions } from './table-options.ts'
import { snapshotText, takeSnapshot, type TableSnapshot } from './table-snapshot.ts'

export interface RollbackOptions extends Limits {
  /** Only requests for this host; `*.example.org` is all names below it. */
  readonly host?: string
}

export interface MountOptions<Spec = unknown> extends RollbackOptions, MountHooks<Spec> {}

/** One of the mounts of {@link MountTable.replaceAll}. */
export interface NewMount<Spec = unknown> extends MountHooks<Spec> {
  readonly prefix: string
  readonly host?: string
  readonly spec: Spec
}

export interface UnmountOptions extends DrainOptions {
  readonly host?: string
}

export interface Replacement<Spec> {
  readonly mount: MountInfo<Spec>
  /** Settles when what was replaced is cleaned up; rejects with ERR_MOUNT_CLEANUP when that failed. */
  readonly drained: Promise<void>
}

/** What came of taking a table over. */
export interface Recovery<Spec, Handler> {
  readonly table: MountTable<Spec, Handler>
  /** What was active and could not be mounted again, and why. */
  readonly failed: readonly { readonly mount: KnownMount<Spec>; readonly error: unknown }[]
}

/** The control thread's end of a table: the only one that changes it. */
export class MountTable<Spec = unknown, Handler = unknown> {
  readonly #shared: SharedTable
  readonly #members: Members<Spec>
  readonly #generations: Generations<Spec>
  readonly #rollout: Rollout<Spec, Handler>
  readonly #replica: Replica<Spec, Handler> | undefined
  readonly #succession: Succession<Spec, Handler>
  readonly #drains: Drains<Spec>
  /** Specs go to other threads. */
  readonly #copies: boolean
  /** Another one: a successor has taken the table over. */
  readonly #epoch: number
  /** The end of the last stop() has been published. */
  #stopped = false

  static {
    inspectAsText(this.prototype)
  }

  /**
   * `taken` is for {@link MountTable.recover}.
   *
   * @throws MountTableError EINVAL
   */
  constructor(options: MountTableOptions<Spec, Handler> = {}, taken?: SharedTable) {
    checkTableOptions('MountTable', options, ['slots', 'members'])
    const { slots = 1024, members = 64, drainingLimit = 16, cleanup, prepare, dispose } = options
    this.#copies = taken !== undefined || members > 0
    this.#shared = taken ?? SharedTable.create(slots, members + 1)
    this.#epoch = this.#shared.epoch
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
        this.#announceStopped()
      },
    })
    const own = prepare ?? (!this.#copies ? (asHandler as Prepare<Spec, Handler>) : undefined)
    this.#replica = own && this.#ownReplica({ prepare: own, ...(dispose !== undefined && { dispose }) })
    this.#rollout = new Rollout(this.#shared, this.#members, this.#generations, this.#replica)
    this.#succession = new Succession(this.#shared, this.#rollout, drainingLimit)
    this.#drains = new Drains(this.#generations)
  }

  /**
   * Takes over the table of a control thread that has ended, from its {@link buffer}. What was mounted drains; of the
   * option `mounts`, what was active is mounted again, under greater numbers. Members of the ended thread get EBADF at
   * their next lookup: they give back the leases they hold, and attach() anew with handles of this table. A clean-up
   * that the ended thread was in the middle of is run again.
   *
   * @throws MountTableError ERR_MOUNT_LAYOUT; EBADF when the table was closed; EINVAL, ERR_MOUNT_PREFIX and its kin,
   *   ERR_MOUNT_HOST for the option `mounts`. Nothing has changed then.
   */
  static async recover<Spec, Handler>(
    buffer: SharedArrayBuffer,
    options: RecoveryOptions<Spec, Handler> = {},
  ): Promise<Recovery<Spec, Handler>> {
    checkTableOptions('recover', options, ['mounts', 'deadline', 'signal'])
    const { mounts = [], deadline, signal, ...own } = options
    const shared = SharedTable.open(buffer, 'recover')
    const known = new KnownMounts<Spec>(mounts)
    if (shared.tableState === CLOSED) throw closed('recover')
    const wanted = shared.tableState === RUNNING ? known.active(shared) : []
    shared.takeOver()
    const table = new MountTable<Spec, Handler>(own, shared)
    adopt(known, table.#members, table.#generations, table.#rollout)
    table.#listenToOrphans()
    const limits = { ...(deadline !== undefined && { deadline }), ...(signal !== undefined && { signal }) }
    const outcomes = await Promise.all(wanted.map((mount) => table.#mountAgain(mount, limits)))
    return { table, failed: outcomes.filter((outcome) => outcome !== undefined) }
  }

  /** The memory of the table, for {@link recover} in another thread. */
  get buffer(): ArrayBuffer | SharedArrayBuffer {
    return this.#shared.buffer
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
   *   ERR_MOUNT_INIT when the mount's init fails; ERR_MOUNT_PREPARE when a thread could not prepare it or the deadline
   *   passed; ERR_MOUNT_PREFIX and its kin, ERR_MOUNT_HOST, ERR_MOUNT_SPEC (it cannot be cloned), ERR_MOUNT_SLOTS,
   *   ERR_MOUNT_GENERATIONS, ERR_MOUNT_DRAINING_LIMIT, ERR_MOUNT_STOPPING, EBADF, EINVAL.
   */
  async mount(prefix: string, spec: Spec, options: MountOptions<Spec> = {}): Promise<MountInfo<Spec>> {
    const where = this.#locate('mount', prefix, options, MOUNT_OPTIONS)
    const content = this.#content('mount', spec, options)
    const generation = await this.#succession.mount('mount', where, content, options)
    return this.#generations.describe(generation)
  }

  /**
   * Puts a new generation in the place of the mounted one. When this resolves, every lookup in every thread finds
   * the new one; only then the old one drains. Calls for one mount point take turns.
   *
   * @throws MountTableError ERR_MOUNT_NOT_FOUND; ERR_MOUNT_DRAINING_LIMIT when too many earlier generations still
   *   drain; else as mount(). The old generation stays as it is then.
   */
  async replace(prefix: string, spec: Spec, options: MountOptions<Spec> = {}): Promise<Replacement<Spec>> {
    const where = this.#locate('replace', prefix, options, MOUNT_OPTIONS)
    const content = this.#content('replace', spec, options)
    return this.#replacement(await this.#succession.replace(where, content, options))
  }

  /**
   * Puts these mounts in the place of everything that is mounted: all are prepared in all threads, and become visible
   * with one change; or nothing changes. What has the same host and prefix is replaced, what is not named is unmounted.
   *
   * @throws MountTableError ERR_MOUNT_TAKEN when two of them are for the same host and prefix; ERR_MOUNT_NOT_FOUND when
   *   one of them was unmounted meanwhile; else as mount() and replace().
   */
  async replaceAll(
    mounts: readonly NewMount<Spec>[],
    options: Limits = {},
  ): Promise<{ readonly mounts: MountInfo<Spec>[]; readonly drained: Promise<void> }> {
    this.#refuseIfClosed('replaceAll')
    checkOptions('replaceAll', options, ['deadline', 'signal'])
    const seen = new Set<string>()
    const wanted = mounts.map(({ prefix, spec, ...others }) => {
      const where = this.#locate('replaceAll', prefix, others, ['host', 'init', 'cleanup'])
      if (seen.has(label(where))) {
        throw new MountTableError('ERR_MOUNT_TAKEN', 'replaceAll', `${label(where)} is named twice`)
      }
      seen.add(label(where))
      return { where, content: this.#content('replaceAll', spec, others) }
    })
    const { generations, old } = await this.#succession.replaceAll(wanted, options)
    // The replaced ones drain since they were; these were only taken out of what lookups find.
    for (const generation of old) if (generation.drainingSince === 0) this.#generations.drain(generation)
    const drained = Promise.all(old.map(({ gone }) => gone)).then(() => undefined)
    drained.catch(() => undefined)
    return { mounts: generations.map((generation) => this.#generations.describe(generation)), drained }
  }

  /**
   * Goes back to what the mounted generation took the place of: its spec and its hooks, as a new generation, whether
   * the old one still drains or is gone. Nothing that drains is taken into use again. A second call goes forth again.
   *
   * @throws MountTableError ERR_MOUNT_NO_PREVIOUS when nothing was replaced since it was mounted; else as replace().
   */
  async rollback(prefix: string, options: RollbackOptions = {}): Promise<Replacement<Spec>> {
    const where = this.#locate('rollback', prefix, options, ['host', 'deadline', 'signal'])
    return this.#replacement(await this.#succession.rollback(where, options))
  }

  /**
   * Makes a mount unreachable at once, and resolves after its last lease and its clean-up.
   *
   * @throws MountTableError ERR_MOUNT_NOT_FOUND; ERR_MOUNT_DRAIN_DEADLINE, which names the holders, and the mount
   *   goes on draining; ERR_MOUNT_CLEANUP; ERR_MOUNT_PREFIX; EBADF; EINVAL.
   */
  async unmount(prefix: string, options: UnmountOptions = {}): Promise<void> {
    const where = this.#locate('unmount', prefix, options, ['host', 'deadline', 'signal', 'force'])
    const point = this.#succession.mounted('unmount', where)
    const removed = this.#rollout.withdraw(
      [point],
      (syscall) => new MountTableError('ERR_MOUNT_NOT_FOUND', syscall, `${label(where)} was unmounted`),
    )
    for (const generation of removed) this.#generations.drain(generation)
    await this.#drains.untilGone('unmount', removed, options)
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
      await this.#drains.untilGone('drain', point?.lineage.draining() ?? [], options)
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
    await this.#drains.untilGone('drain', [generation], options)
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
    if (!this.stopping) {
      this.#shared.tableState = STOPPING
      this.#stopped = false
      this.#publish('stopping')
    }
    const removed = this.#rollout.withdraw(this.#rollout.points(), stopping)
    for (const generation of removed) this.#generations.drain(generation)
    this.#announceStopped()
    // Taken now, with what is given up in a moment: the table may be started and filled again soon.
    await this.#drains.untilGone('stop', this.#generations.all(), options)
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
    this.#publish('started')
  }

  /**
   * All there is, in one consistent view.
   *
   * @throws MountTableError EBADF
   */
  snapshot(): TableSnapshot<Spec> {
    this.#refuseIfClosed('snapshot')
    return this.#snapshot()
  }

  /** The mounts of a snapshot(): all generations that exist, by prefix and then by age. */
  list(): MountInfo<Spec>[] {
    this.#refuseIfClosed('list')
    return [...this.#snapshot().mounts]
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
    // A thread that has a successor is told by its replica.
    if (this.#shared.tableState !== RUNNING) this.#refuseIfClosed('lookup')
    return this.#replica.lookup(target, host)
  }

  /**
   * Ends the table without waiting: everything is withdrawn, nothing more is cleaned up, and what still waits
   * rejects with EBADF. Call stop() before to drain. Closing twice is fine.
   */
  close(): void {
    if (this.#shared.tableState === CLOSED || this.#shared.epoch !== this.#epoch) return
    this.#shared.tableState = CLOSED
    this.#rollout.withdraw(this.#rollout.points(), closed)
    this.#generations.close(closed('close'))
    this.#members.close()
    this.#shared.bell.ring()
    this.#publish('closed')
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** The table, its mounts and who holds leases, a line each. */
  toString(): string {
    return this.#shared.tableState === CLOSED ? 'MountTable closed' : snapshotText(this.#snapshot())
  }

  #snapshot(): TableSnapshot<Spec> {
    return takeSnapshot(this.#shared, this.#members, this.#generations, this.#rollout.points())
  }

  #publish(name: 'stopping' | 'stopped' | 'started' | 'closed'): void {
    publishEvent(name, { version: this.version })
  }

  /** Once a stop(), when the last generation is gone. */
  #announceStopped(): void {
    if (this.#stopped || this.#shared.tableState !== STOPPING || this.#generations.all().length > 0) return
    this.#stopped = true
    this.#publish('stopped')
  }

  /** Until all members of the earlier control thread are gone: they have no port to say anything by. */
  #listenToOrphans(): void {
    void this.#shared.bell.listen(() => {
      if (this.#shared.tableState === CLOSED || this.#shared.epoch !== this.#epoch) return false
      for (const { id, left } of this.#members.orphans()) if (left) this.removed(id)
      for (const generation of this.#generations.all()) this.#generations.check(generation)
      return this.#members.orphans().length > 0
    })
  }

  async #mountAgain(
    mount: KnownMount<Spec>,
    limits: Limits,
  ): Promise<{ mount: KnownMount<Spec>; error: unknown } | undefined> {
    try {
      const content = { spec: copySpec('recover', mount.spec), hooks: hooksOf('recover', mount) }
      await this.#succession.mount('recover', mount, content, limits)
      return undefined
    } catch (error) {
      return { mount, error }
    }
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
        this.#rollout.attach(member, message.thread)
        break
      case 'prepared':
        this.#rollout.answer(member, message.name, message.error)
        break
      case 'drained':
        this.#drained(message.slot)
        break
      case 'leave':
        this.#members.leave(member)
        this.#rollout.detach(member)
    }
  }

  #drained(slot: number): void {
    const generation = this.#generations.inSlot(slot)
    if (generation !== undefined) this.#generations.check(generation)
  }

  /** Checks what can be checked of a call before something changes. */
  #locate(syscall: string, prefix: string, options: { host?: string }, known: readonly string[]): Place {
    this.#refuseIfClosed(syscall)
    checkOptions(syscall, options, known)
    return placeOf(syscall, prefix, options.host)
  }

  #content(syscall: string, spec: Spec, hooks: MountHooks<Spec>): Content<Spec> {
    this.#succession.refuseUnlessRunning(syscall)
    return {
      spec: this.#copies ? copySpec(syscall, spec) : spec,
      hooks: hooksOf(syscall, hooks),
    }
  }

  #replacement({ generation, old }: Successor<Spec>): Replacement<Spec> {
    return { mount: this.#generations.describe(generation), drained: old?.gone ?? Promise.resolve() }
  }

  #refuseIfClosed(syscall: string): void {
    if (this.#shared.tableState === CLOSED || this.#shared.epoch !== this.#epoch) throw closed(syscall)
  }
}

const MOUNT_OPTIONS: readonly string[] = ['host', 'init', 'cleanup', 'deadline', 'signal']

const asHandler = (spec: unknown): unknown => spec
