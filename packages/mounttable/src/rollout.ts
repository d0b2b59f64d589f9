import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import type { Generation } from './generation.ts'
import type { Generations } from './generations.ts'
import { within, type Limits } from './limits.ts'
import { CONTROL, type Members } from './members.ts'
import { errorFromText, type ErrorText, type PlacedName } from './messages.ts'
import type { Content } from './mount-hooks.ts'
import type { MountName } from './mount.ts'
import { MountPoint } from './mount-point.ts'
import type { Place } from './place.ts'
import { Preparation } from './preparation.ts'
import type { Replica } from './replica.ts'
import type { SharedTable } from './shared-table.ts'

/** The event of a generation that has become the current one. */
export type Committed = 'mounted' | 'replaced' | 'rolledBack'

/** What is to become of one mount point. */
export interface Step<Spec> {
  readonly event: Committed
  readonly point: MountPoint<Spec>
  readonly content: Content<Spec>
}

/** What has become of it. */
export interface Rolled<Spec> {
  readonly generation: Generation<Spec>
  readonly old: Generation<Spec> | undefined
}

/** Brings changes to all threads: prepared in all or in none, and published in one order. */
export class Rollout<Spec, Handler> {
  readonly #shared: SharedTable
  readonly #members: Members<Spec>
  readonly #generations: Generations<Spec>
  /** This thread's own, when it looks up. */
  readonly #replica: Replica<Spec, Handler> | undefined
  readonly #points = new Map<string, MountPoint<Spec>>()

  constructor(
    shared: SharedTable,
    members: Members<Spec>,
    generations: Generations<Spec>,
    replica: Replica<Spec, Handler> | undefined,
  ) {
    this.#shared = shared
    this.#members = members
    this.#generations = generations
    this.#replica = replica
  }

  points(): MountPoint<Spec>[] {
    return [...this.#points.values()]
  }

  point(host: string | undefined, prefix: string): MountPoint<Spec> | undefined {
    return this.#points.get(MountPoint.key(host, prefix))
  }

  /** The mount point of a place, made if there is none. */
  pointAt({ host, prefix }: Place): MountPoint<Spec> {
    const point = this.point(host, prefix) ?? new MountPoint<Spec>(host, prefix)
    this.#points.set(point.key, point)
    return point
  }

  /** Prepares a new generation everywhere and makes it the point's current one. The one before starts to drain. */
  async roll(
    syscall: string,
    event: Committed,
    point: MountPoint<Spec>,
    content: Content<Spec>,
    limits: Limits,
  ): Promise<Rolled<Spec>> {
    const [rolled] = await this.rollAll(syscall, [{ event, point, content }], limits)
    return rolled as Rolled<Spec>
  }

  /**
   * As roll() for many points: all are prepared before any is found, and then one publication has all of them, and
   * takes away what `withdrawn` tells in that moment.
   */
  async rollAll(
    syscall: string,
    steps: readonly Step<Spec>[],
    limits: Limits,
    withdrawn: () => Generation<Spec>[] = () => [],
  ): Promise<Rolled<Spec>[]> {
    const preparations: Preparation<Spec>[] = []
    let committed = false
    try {
      for (const { point, content } of steps) preparations.push(this.#start(syscall, point, content))
      for (const preparation of preparations) this.#begin(preparation)
      const done = Promise.all(preparations.map((preparation) => preparation.done))
      await within(done, limits, () => late(syscall, preparations))
      // stop() may have come after the last answer and before this line.
      for (const { cancelled } of preparations) if (cancelled !== undefined) throw cancelled
      committed = true
      return this.#commit(steps, preparations, withdrawn())
    } catch (error) {
      // What has begun to be published is in use, however the rest of that went.
      if (!committed) for (const { generation } of preparations) this.#generations.abort(generation, error)
      throw error
    } finally {
      for (const [index, preparation] of preparations.entries()) {
        const { point } = steps[index] as Step<Spec>
        point.preparation = undefined
        preparation.finish()
        this.forgetIfUnused(point.host, point.prefix)
      }
    }
  }

  /** Takes mount points out of what lookups find, and cancels what is being prepared for them. */
  withdraw(
    points: readonly MountPoint<Spec>[],
    reason: (syscall: string) => MountTableError,
  ): Generation<Spec>[] {
    const removed = this.detachCurrent(points, reason)
    if (removed.length > 0) this.#publish([], removed)
    return removed
  }

  /** Of withdraw(), all but the publication. */
  detachCurrent(
    points: readonly MountPoint<Spec>[],
    reason: (syscall: string) => MountTableError,
  ): Generation<Spec>[] {
    const removed: Generation<Spec>[] = []
    for (const point of points) {
      if (point.preparation !== undefined) point.preparation.cancel(reason(point.preparation.syscall))
      if (point.current !== undefined) removed.push(point.current)
      point.current = undefined
    }
    return removed
  }

  /** A member has joined: it gets what is active, and is asked for what is being prepared. */
  attach(member: number, thread: number): void {
    const points = this.points()
    const mounts = points.flatMap(({ current }) => (current === undefined ? [] : [current.mount]))
    this.#members.join(member, thread)
    this.#members.send(member, { type: 'snapshot', version: this.#shared.version, mounts })
    for (const { preparation } of points) {
      if (preparation?.asked !== true) continue
      preparation.ask(member)
      this.#members.send(member, { type: 'prepare', mount: preparation.generation.mount })
    }
  }

  /** A member has gone: nothing waits for its preparations. */
  detach(member: number): void {
    for (const point of this.#points.values()) point.preparation?.without(member)
  }

  /** A member's answer; about a preparation that is over it means nothing. */
  answer(member: number, name: MountName, error: ErrorText | undefined): void {
    const generation = this.#generations.named(name)
    if (generation === undefined) return
    const preparation = this.point(generation.mount.host, generation.mount.prefix)?.preparation
    if (preparation?.generation !== generation) return
    if (error === undefined) preparation.without(member)
    else preparation.cancel(refusal(preparation, member, errorFromText(error)))
  }

  forgetIfUnused(host: string | undefined, prefix: string): void {
    const point = this.point(host, prefix)
    if (point?.unused === true) this.#points.delete(point.key)
  }

  /** Gives the point a generation to prepare. */
  #start(syscall: string, point: MountPoint<Spec>, content: Content<Spec>): Preparation<Spec> {
    const generation = this.#generations.begin(syscall, point, point.lineage, content)
    const preparation = new Preparation(syscall, generation)
    point.preparation = preparation
    this.#points.set(point.key, point)
    publishEvent('preparing', { mount: generation.mount })
    return preparation
  }

  /** Runs the mount's init hook, and then asks all members. */
  #begin(preparation: Preparation<Spec>): void {
    const { generation } = preparation
    const { init } = generation.hooks
    if (init === undefined) {
      this.#ask(preparation)
      return
    }
    const running = (async () => {
      await init(generation.mount)
    })()
    generation.initialized = running.then(
      () => {
        if (!preparation.over) this.#ask(preparation)
        return true
      },
      (error: unknown) => {
        preparation.cancel(initFailed(preparation, error))
        return false
      },
    )
  }

  #ask(preparation: Preparation<Spec>): void {
    const { mount } = preparation.generation
    for (const member of this.#members.attached()) {
      preparation.ask(member)
      this.#members.send(member, { type: 'prepare', mount })
    }
    if (this.#replica !== undefined) {
      preparation.ask(CONTROL)
      this.#replica.prepare(mount).then(
        () => {
          preparation.without(CONTROL)
        },
        (error: unknown) => {
          preparation.cancel(refusal(preparation, CONTROL, error))
        },
      )
    }
    preparation.allAsked()
  }

  #commit(
    steps: readonly Step<Spec>[],
    preparations: readonly Preparation<Spec>[],
    removed: readonly Generation<Spec>[],
  ): Rolled<Spec>[] {
    const rolled = preparations.map(({ generation }, index) => {
      const { point } = steps[index] as Step<Spec>
      const old = point.current
      this.#generations.activate(generation)
      point.current = generation
      point.lineage.previous = old?.content
      return { generation, old }
    })
    this.#publish(
      preparations.map(({ generation }) => generation),
      removed,
    )
    for (const [index, { generation, old }] of rolled.entries()) {
      publishEvent((steps[index] as Step<Spec>).event, { mount: generation.mount })
      if (old !== undefined) this.#generations.drain(old)
    }
    return rolled
  }

  /**
   * The messages go first and the version after them: who reads the new version finds the message in its port. A
   * generation starts to drain only after that, so who fails to take a lease of it finds a new version.
   */
  #publish(added: readonly Generation<Spec>[], removed: readonly Generation<Spec>[]): void {
    const version = (this.#shared.version + 1) | 0
    const publication = {
      version,
      added: added.map(placedName),
      removed: removed.map(placedName),
    }
    this.#replica?.publish([publication])
    this.#members.broadcast({ type: 'publish', publication })
    this.#shared.version = version
  }
}

const placedName = ({ mount: { slot, generation, host, prefix } }: Placed): PlacedName => ({
  slot,
  generation,
  host,
  prefix,
})

interface Placed {
  readonly mount: PlacedName
}

/** What an error says about a preparation, of whatever spec. */
interface Failing {
  readonly syscall: string
  readonly generation: { readonly mount: { readonly prefix: string } }
  readonly asked: boolean
  readonly waiting: readonly number[]
}

function refusal(preparation: Failing, member: number, cause: unknown): MountTableError {
  const who = member === CONTROL ? 'this thread' : `member ${member}`
  const why = cause instanceof Error ? cause.message : String(cause)
  const { prefix } = preparation.generation.mount
  return new MountTableError(
    'ERR_MOUNT_PREPARE',
    preparation.syscall,
    `${who} could not prepare ${prefix}: ${why}`,
    { cause },
  )
}

function initFailed({ syscall, generation }: Failing, cause: unknown): MountTableError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new MountTableError('ERR_MOUNT_INIT', syscall, `init of ${generation.mount.prefix} failed: ${why}`, {
    cause,
  })
}

function late(syscall: string, preparations: readonly Failing[]): MountTableError {
  if (preparations.some(({ asked }) => !asked)) {
    return new MountTableError('ERR_MOUNT_INIT', syscall, 'init had not ended at the deadline')
  }
  const waiting = new Set(preparations.flatMap((preparation) => preparation.waiting))
  return new MountTableError(
    'ERR_MOUNT_PREPARE',
    syscall,
    `not prepared before the deadline by members ${[...waiting].join(', ')}`,
  )
}
