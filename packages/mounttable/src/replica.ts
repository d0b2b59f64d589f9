import { Entry, type EntryOwner } from './entry.ts'
import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import { Lease } from './lease.ts'
import type { Publication } from './messages.ts'
import type { Dispose, Mount, MountName, Prepare } from './mount.ts'
import { resolveTarget } from './path.ts'
import { ACTIVE, slotWord, type Stripe } from './shared-table.ts'
import { Snapshot } from './snapshot.ts'

/** What a thread makes of mounts. */
export interface Callbacks<Spec, Handler> {
  readonly prepare: Prepare<Spec, Handler>
  readonly dispose?: Dispose<Spec, Handler>
}

/** How a replica reaches the control thread. */
export interface Upstream {
  /** Applies what was published and not applied yet, before it returns. */
  refresh(): void
  /**
   * This thread's release was the last that a drain waited for. The slot says enough, and more than the entry: who
   * leaves after a lookup that came too late may end the drain of a later generation.
   */
  drained(slot: number): void
}

/** A thread's view of the table: its handlers, what its lookups find, and its stripe of counts. */
export class Replica<Spec, Handler> implements EntryOwner {
  readonly #stripe: Stripe
  readonly #callbacks: Callbacks<Spec, Handler>
  readonly #upstream: Upstream
  readonly #snapshot = new Snapshot<Entry<Spec, Handler>>()
  /** By slot: the control thread retires a generation before it prepares the next one in its slot. */
  readonly #entries = new Map<number, Entry<Spec, Handler>>()
  #version = 0
  #whenIdle: (() => void) | undefined = undefined

  constructor(stripe: Stripe, callbacks: Callbacks<Spec, Handler>, upstream: Upstream) {
    this.#stripe = stripe
    this.#callbacks = callbacks
    this.#upstream = upstream
  }

  /**
   * A lease of what is mounted at the longest prefix; undefined when nothing is.
   *
   * @throws MountTableError ERR_MOUNT_TARGET, ERR_MOUNT_REFERENCES, EBADF, EINVAL
   */
  lookup(target: string, host: string | undefined): Lease<Handler, Spec> | undefined {
    checkText(target, host)
    for (;;) {
      if (this.#stripe.version !== this.#version) this.#catchUp('lookup')
      let path = target
      let entry = this.#snapshot.find(target, host, false)
      if (entry === null) {
        const resolved = resolveTarget(target)
        if (resolved === undefined) return undefined
        path = resolved.path
        entry = this.#snapshot.find(path, resolved.host ?? host, true)
      }
      if (entry === undefined || entry === null) return undefined
      if (this.#stripe.acquire(entry.slot, entry.active)) return new Lease(entry, path)
      // It went away after the version was read. The version changes before a state does, so the next round
      // refreshes and finds what is there now.
      this.release(entry)
    }
  }

  release(entry: Entry<unknown, unknown>): void {
    if (this.#stripe.release(entry.slot)) this.#upstream.drained(entry.slot)
    if (this.#whenIdle !== undefined) this.#closeIfIdle(this.#whenIdle)
  }

  /** Runs the thread's prepare. The generation is not found before it is published. */
  async prepare(mount: Mount<Spec>): Promise<void> {
    const entry = new Entry<Spec, Handler>(mount, slotWord(mount.generation, ACTIVE), this)
    this.#entries.set(mount.slot, entry)
    // A lookup may be what took this message from the port; users' code must not run inside it.
    await Promise.resolve()
    if (!this.#wanted(entry)) return
    entry.handler = await this.#callbacks.prepare(mount.spec, mount)
    entry.prepared = true
    if (!this.#wanted(entry)) await this.#dispose(entry)
  }

  /** Starts from what is active, in a replica that joins late. Settles when all that is still wanted is prepared. */
  async load(version: number, mounts: readonly Mount<Spec>[]): Promise<void> {
    this.#version = version
    await Promise.all(mounts.map((mount) => this.#loadOne(mount)))
  }

  /** What goes away meanwhile is not waited for, and may fail. */
  async #loadOne(mount: Mount<Spec>): Promise<void> {
    const prepared = this.prepare(mount)
    const entry = this.#named(mount)
    if (entry === undefined) return
    this.#snapshot.add(entry)
    try {
      await Promise.race([prepared, entry.untilRetired()])
    } catch (error) {
      if (this.#snapshot.has(entry)) throw error
    }
  }

  publish(publication: Publication): void {
    this.#version = publication.version
    for (const name of publication.added) {
      const entry = this.#named(name)
      if (entry !== undefined) this.#snapshot.add(entry)
    }
    for (const name of publication.removed) {
      const entry = this.#named(name)
      if (entry !== undefined) this.#snapshot.remove(entry)
    }
  }

  /** The generation is over, in all threads. */
  retire(name: MountName): void {
    const entry = this.#named(name)
    if (entry === undefined) return
    this.#entries.delete(name.slot)
    this.#drop(entry)
  }

  force(name: MountName): void {
    this.#named(name)?.force()
  }

  /** For a thread that looks up no more: with its last lease its handlers end, and then `idle` is called. */
  close(idle: () => void): void {
    this.#whenIdle = idle
    this.#closeIfIdle(idle)
  }

  list(): Mount<Spec>[] {
    if (this.#stripe.version !== this.#version) this.#catchUp('list')
    return [...this.#entries.values()]
      .filter((entry) => this.#snapshot.has(entry))
      .map((entry) => entry.mount)
  }

  /**
   * @throws MountTableError EBADF when there is nobody any more to catch up with: what leads to a version is posted
   *   before the version is stored, so a port without it is a port that was let go.
   */
  #catchUp(syscall: string): void {
    this.#stripe.check(syscall)
    const before = this.#version
    this.#upstream.refresh()
    if (this.#version === before) {
      throw new MountTableError(
        'EBADF',
        syscall,
        'the control thread no longer tells this member what is mounted; attach() with another handle',
      )
    }
  }

  #closeIfIdle(idle: () => void): void {
    if (this.#stripe.held() > 0) return
    this.#whenIdle = undefined
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const entry of entries) this.#drop(entry)
    idle()
  }

  #wanted(entry: Entry<Spec, Handler>): boolean {
    return this.#entries.get(entry.slot) === entry
  }

  #named(name: MountName): Entry<Spec, Handler> | undefined {
    const entry = this.#entries.get(name.slot)
    return entry?.mount.generation === name.generation ? entry : undefined
  }

  #drop(entry: Entry<Spec, Handler>): void {
    this.#snapshot.remove(entry)
    entry.retire()
    if (entry.prepared) void Promise.resolve().then(() => this.#dispose(entry))
  }

  async #dispose(entry: Entry<Spec, Handler>): Promise<void> {
    try {
      await this.#callbacks.dispose?.(entry.handler as Handler, entry.mount)
    } catch (error) {
      publishEvent('disposeFailed', { mount: entry.mount, error })
    }
  }
}

/** For callers without types. */
function checkText(target: unknown, host: unknown): void {
  if (typeof target === 'string' && (host === undefined || typeof host === 'string')) return
  throw new MountTableError('EINVAL', 'lookup', 'a target is a string, and so is a host')
}
