import { MessagePort, receiveMessageOnPort, threadId } from 'node:worker_threads'
import { MountTableError } from './errors.ts'
import type { MountTableHandle } from './handle.ts'
import { inspectAsText } from './inspection.ts'
import type { Lease } from './lease.ts'
import { checkOptions, within, type Limits } from './limits.ts'
import { errorText, type Publication, type ToControl, type ToMember } from './messages.ts'
import type { Mount } from './mount.ts'
import { Replica, type Callbacks } from './replica.ts'
import { CLOSED, RUNNING, SharedTable, type Stripe } from './shared-table.ts'

export interface AttachOptions<Spec, Handler> extends Callbacks<Spec, Handler>, Limits {}

/** A worker's end of a {@link MountTable}. It does not keep the worker's event loop alive. */
export class MountTableMember<Spec = unknown, Handler = unknown> {
  readonly id: number
  /**
   * Resolves some time after close(): when the thread's last lease is back, and no prepare or dispose runs here any
   * more. Then nothing of the table is left in this thread.
   */
  readonly closed: Promise<void>
  readonly #table: SharedTable
  readonly #stripe: Stripe
  readonly #port: MessagePort
  readonly #replica: Replica<Spec, Handler>
  readonly #loaded: Promise<void>
  #settleClosed!: (left: Promise<void>) => void
  #load!: (loading: Promise<void>) => void
  #closed = false

  static {
    inspectAsText(this.prototype)
  }

  private constructor(table: SharedTable, handle: MountTableHandle, callbacks: Callbacks<Spec, Handler>) {
    const { id, stripe, epoch, port } = handle
    this.id = id
    this.#table = table
    this.#stripe = table.claim(stripe, id, epoch)
    this.#port = port
    this.#replica = new Replica(this.#stripe, callbacks, {
      refresh: () => {
        this.#refresh()
      },
      drained: (slot) => {
        this.#send({ type: 'drained', slot })
        // The one at the other end of the port may have ended and have a successor.
        if (table.epoch !== epoch) table.bell.ring()
      },
    })
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve
    })
    this.#loaded = new Promise((resolve, reject) => {
      this.#load = resolve
      this.#port.once('close', () => {
        reject(tableClosed())
      })
    })
    // Without a waiter, a table that closes later is no error.
    this.#loaded.catch(() => undefined)
  }

  /**
   * Joins the table, and resolves when everything that is mounted is prepared in this thread.
   *
   * @throws MountTableError ERR_MOUNT_LAYOUT for a handle of another version; ERR_MOUNT_ATTACHED when the handle was
   *   attached before; ERR_MOUNT_PREPARE when `prepare` fails here (the cause says how) or the deadline passes; EBADF
   *   when the table was closed or has let go of the member; EINVAL.
   */
  static async attach<Spec, Handler>(
    handle: MountTableHandle,
    options: AttachOptions<Spec, Handler>,
  ): Promise<MountTableMember<Spec, Handler>> {
    checkOptions('attach', options, ['prepare', 'dispose', 'deadline', 'signal'])
    if (typeof options.prepare !== 'function') {
      throw new MountTableError('EINVAL', 'attach', "option 'prepare' must be a function")
    }
    const member = new MountTableMember<Spec, Handler>(openTable(handle), handle, options)
    // A port that closed before it was listened to says nothing.
    if (member.#table.tableState === CLOSED) throw tableClosed()
    await member.#join(options)
    return member
  }

  async #join(limits: Limits): Promise<void> {
    // Listening keeps the loop alive; that is right until the snapshot is here.
    this.#port.on('message', (message: ToMember<Spec>) => {
      this.#receive(message)
    })
    this.#send({ type: 'attach', thread: threadId })
    try {
      await within(
        this.#loaded,
        limits,
        () =>
          new MountTableError('ERR_MOUNT_PREPARE', 'attach', 'the deadline passed before all was prepared'),
      )
    } catch (error) {
      this.close()
      if (error instanceof MountTableError || limits.signal?.aborted === true) throw error
      throw new MountTableError('ERR_MOUNT_PREPARE', 'attach', 'prepare failed in this thread', {
        cause: error,
      })
    }
    this.#port.unref()
  }

  /** True from the table's stop() on, until it is started again. Then lookups find nothing. */
  get stopping(): boolean {
    return this.#table.tableState !== RUNNING
  }

  /**
   * A lease of what is mounted at the longest prefix of a request target, or undefined. It sees everything that
   * was published before it was called. Mounts for the host come before mounts for every host.
   *
   * @param target Origin form with or without a query, or absolute form, whose host counts then.
   * @param host The Host field: case and port do not matter.
   * @throws MountTableError ERR_MOUNT_TARGET when the target climbs above the root; ERR_MOUNT_REFERENCES; EBADF after
   *   close(), and when the control thread has let go of this member.
   */
  lookup(target: string, host?: string): Lease<Handler, Spec> | undefined {
    if (this.#closed) throw new MountTableError('EBADF', 'lookup', 'this member is closed')
    return this.#replica.lookup(target, host)
  }

  /** What lookups of this thread find now. */
  list(): Mount<Spec>[] {
    if (this.#closed) throw new MountTableError('EBADF', 'list', 'this member is closed')
    return this.#replica.list()
  }

  /**
   * Leaves the table. Leases may still be released; with the last one the thread's handlers are disposed of and its
   * stripe is free for another member. Closing twice is fine.
   */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#send({ type: 'leave' })
    this.#replica.close(() => {
      this.#stripe.leave()
      this.#table.bell.ring()
      this.#port.close()
      this.#settleClosed(this.#replica.settled())
    })
  }

  /** Closes, and waits for {@link closed}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed
  }

  toString(): string {
    if (this.#closed) return `MountTableMember ${this.id}, closed`
    const state = this.stopping ? 'stopping' : 'running'
    return `MountTableMember ${this.id}, ${state}, ${this.#stripe.held()} leases held here`
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /**
   * The port holds all messages that were posted before the version that a lookup has just read. Of what was published
   * in a long time, only the outcome is applied.
   */
  #refresh(): void {
    const publications: Publication[] = []
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: ToMember<Spec> } | undefined
      if (received === undefined) break
      if (received.message.type === 'publish') publications.push(received.message.publication)
      else this.#receive(received.message)
    }
    this.#replica.publish(publications)
  }

  #receive(message: ToMember<Spec>): void {
    switch (message.type) {
      case 'snapshot':
        this.#load(this.#replica.load(message.version, message.mounts))
        break
      case 'prepare':
        // Nobody waits for a member that has left.
        if (!this.#closed) void this.#prepare(message.mount)
        break
      case 'publish':
        this.#replica.publish([message.publication])
        break
      case 'retire':
        this.#replica.retire(message.name)
        break
      case 'force':
        this.#replica.force(message.name)
    }
  }

  async #prepare(mount: Mount<Spec>): Promise<void> {
    const name = { slot: mount.slot, generation: mount.generation }
    try {
      await this.#replica.prepare(mount)
      this.#send({ type: 'prepared', name })
    } catch (error) {
      this.#send({ type: 'prepared', name, error: errorText(error) })
    }
  }

  #send(message: ToControl): void {
    this.#port.postMessage(message)
  }
}

const tableClosed = (): MountTableError =>
  new MountTableError('EBADF', 'attach', 'the control thread has closed the table')

/** @throws MountTableError ERR_MOUNT_LAYOUT when it is not the handle of a table of this version. */
function openTable(handle: unknown): SharedTable {
  const { id, stripe, epoch, buffer, port } = (handle ?? {}) as Partial<
    Record<keyof MountTableHandle, unknown>
  >
  const table = SharedTable.open(buffer)
  const whole = (value: unknown, least: number, most: number): boolean =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most
  if (
    whole(id, 1, 2 ** 31 - 1) &&
    whole(stripe, 1, table.stripes - 1) &&
    whole(epoch, 0, 2 ** 31 - 1) &&
    port instanceof MessagePort
  ) {
    return table
  }
  throw new MountTableError(
    'ERR_MOUNT_LAYOUT',
    'attach',
    'this is not the handle of a table; pass what share() returned, with its port in the transfer list',
  )
}
