/** One generation of a mount point, as every thread knows it. */
export interface Mount<Spec> {
  /** Canonical, `/` for the root. */
  readonly prefix: string
  /** Lower-case host that a request must be for; undefined for every host. */
  readonly host: string | undefined
  readonly slot: number
  /** Numbers all mounts and replacements of the table, up to 2^29; then it starts again. */
  readonly generation: number
  readonly spec: Spec
}

/**
 * `init`: being prepared, no lookup finds it. `active`: lookups find it. `draining`: no lookup finds it, leases are
 * still held. `drained`: the last lease is back, its clean-up runs.
 */
export type MountState = 'init' | 'active' | 'draining' | 'drained'

/** What the control thread knows of a mount at the moment it was asked. */
export interface MountInfo<Spec> extends Mount<Spec> {
  readonly state: MountState
  /** Leases held, in all threads. */
  readonly references: number
  /** When it came into this state, in milliseconds since the epoch. */
  readonly since: number
  /** Leases ever taken at this mount point (host and prefix), of all generations since it was first mounted. */
  readonly served: number
}

/** Names one generation in messages. */
export interface MountName {
  readonly slot: number
  readonly generation: number
}

/** Makes in one thread what serves a mount there. Runs again in each thread, and never inside a lookup. */
export type Prepare<Spec, Handler> = (spec: Spec, mount: Mount<Spec>) => Handler | Promise<Handler>

/** Undoes in one thread what its {@link Prepare} made, once no lease of it is left in any thread. */
export type Dispose<Spec, Handler> = (handler: Handler, mount: Mount<Spec>) => void | Promise<void>
