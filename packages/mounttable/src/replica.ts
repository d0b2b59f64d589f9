import { Entry, type EntryOwner } from './entry.ts'
import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import { Lease } from './lease.ts'
import type { PlacedName, Publication } from './messages.ts'
import type { Dispose, Mount, MountName, Prepare } from './mount.ts'
import { resolveTarget } from './path.ts'
import { label } from './place.ts'
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
  /** By slot: forced, and leases of this thread are still held. No other generation has the slot before they are back. */
  readonly #late = new Map<number, Entry<Spec, Handler>>()
  /** Told of, in their order, and not applied yet. */
  readonly #pending: Publication[] = []
  /** What users' code does here, prepare and dispose. */
  readonly #work = new Set<Promise<void>>()
  #version: number
  #whenIdle: (() => void) | undefined = undefined
  /** Releases have consequences. */
  #attentive = false

  constructor(stripe: Stripe, callbacks: Callbacks<Spec, Handler>, upstream: Upstream) {
    this.#stripe = stripe
    // A table that was taken over has had versions before this thread.
    this.#version = stripe.version
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
    if (this.#attentive) this.#afterRelease(entry.slot)
  }

  /** Runs the thread's prepare. The generation is not found before it is published. */
  async prepare(mount: Mount<Spec>): Promise<void> {
    const entry = new Entry<Spec, Handler>(mount, slotWord(mount.generation, ACTIVE), this)
    this.#entries.set(mount.slot, entry)
    // A lookup may be what took this message from the port; users' code must not run inside it.
    await Promise.resolve()
    if (!this.#wanted(entry)) return
    const prepared = this.#prepare(entry)
    this.#track(prepared)
    await prepared
  }

  async #prepare(entry: Entry<Spec, Handler>): Promise<void> {
    entry.handler = await this.#callbacks.prepare(entry.mount.spec, entry.mount)
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
    this.#snapshot.put(mount, entry)
    try {
      await Promise.race([prepared, entry.untilWithdrawn()])
    } catch (error) {
      if (this.#snapshot.has(entry)) throw error
    }
  }

  /**
   * Publications take effect in all threads at one moment, when their version is stored, and not when a thread hears of
   * them: else one thread could find what is new before, and another thread after it what is old.
   */
  publish(publications: readonly Publication[]): void {
    this.#pending.push(...publications)
    this.#apply()
    // The control thread is between telling and storing: nobody tells of the latter.
    if (this.#pending.length === 0) return
    setImmediate(() => {
      this.publish([])
    }).unref()
  }

  /** Applies what all that are in effect together change. */
  #apply(): void {
    const version = this.#stripe.version
    const later = this.#pending.findIndex((publication) => ((publication.version - version) | 0) > 0)
    const publications = this.#pending.splice(0, later === -1 ? this.#pending.length : later)
    const last = publications.at(-1)
    if (last === undefined) return
    this.#version = last.version
    const net = new Map<string, PlacedName & { present: boolean }>()
    for (const { added, removed } of publications) {
      for (const name of added) net.set(label(name), { ...name, present: true })
      for (const name of removed) net.set(label(name), { ...name, present: false })
    }
    for (const name of net.values()) {
      // One that is retired already has its removal in the same publications.
      this.#snapshot.put(name, name.present ? this.#named(name) : undefined)?.withdraw()
    }
  }

  /** The generation is over, in all threads. */
  retire(name: MountName): void {
    // Whatever led to this is in effect.
    this.#apply()
    const entry = this.#named(name)
    if (entry === undefined) return
    this.#entries.delete(name.slot)
    if (this.#stripe.references(name.slot) === 0) this.#drop(entry)
    else {
      this.#withdraw(entry)
      this.#late.set(name.slot, entry)
      this.#attentive = true
    }
  }

  force(name: MountName): void {
    this.#named(name)?.force()
  }

  /** For a thread that looks up no more: with its last lease its handlers end, and then `idle` is called. */
  close(idle: () => void): void {
    this.#whenIdle = idle
    this.#attentive = true
    this.#closeIfIdle(idle)
  }

  /** Resolves when no prepare and no dispose runs. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work)
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
    // A successor of the control thread tells of versions to come.
    if (((this.#stripe.version - before) | 0) <= 0) return
    this.#upstream.refresh()
    this.#apply()
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
    const entries = [...this.#entries.values(), ...this.#late.values()]
    this.#entries.clear()
    this.#late.clear()
    this.#attentive = false
    for (const entry of entries) this.#drop(entry)
    idle()
  }

  #afterRelease(slot: number): void {
    const late = this.#late.get(slot)
    if (late !== undefined && this.#stripe.references(slot) === 0) {
      this.#late.delete(slot)
      this.#drop(late)
    }
    this.#attentive = this.#late.size > 0 || this.#whenIdle !== undefined
    if (this.#whenIdle !== undefined) this.#closeIfIdle(this.#whenIdle)
  }

  #wanted(entry: Entry<Spec, Handler>): boolean {
    return this.#entries.get(entry.slot) === entry
  }

  #named(name: MountName): Entry<Spec, Handler> | undefined {
    const entry = this.#entries.get(name.slot)
    return entry?.mount.generation === name.generation ? entry : undefined
  }

  #withdraw(entry: Entry<Spec, Handler>): void {
    this.#snapshot.remove(entry)
    entry.withdraw()
  }

  #drop(entry: Entry<Spec, Handler>): void {
    this.#withdraw(entry)
    if (entry.prepared) this.#track(Promise.resolve().then(() => this.#dispose(entry)))
  }

  #track(work: Promise<void>): void {
    const settled = work.catch(() => undefined)
    this.#work.add(settled)
    void settled.then(() => this.#work.delete(settled))
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
