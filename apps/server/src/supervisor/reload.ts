import type { MountTable } from '@x/mounttable'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { mountName } from '../config/mount-name.ts'
import { show } from '../config/strict-object.ts'
import type { ReloadReport } from '../control/control-protocol.ts'
import { ConfigInPlaceError } from '../errors.ts'
import type { MountSpec } from '../handler.ts'
import type { MountedHandler } from '../worker/mounted-handler.ts'

/** Milliseconds for all workers to prepare all handlers. */
const LOADING = 60_000

export interface ReloadParts {
  readonly table: MountTable<MountSpec, MountedHandler>
  readonly log: Logger
  /** Reads and checks the configuration's file. */
  readonly readAgain: () => Promise<Config>
}

export interface Reloaded {
  readonly config: Config
  readonly report: ReloadReport
}

/**
 * Brings the mount table to what the configuration's file says now. The file is the truth: what it does not name
 * is unmounted. Every mount is made anew, for its code may be new where its settings are not. All is tried in
 * another thread and prepared in all workers before anything changes, so a failure leaves everything as it was.
 */
export class Reload {
  readonly #parts: ReloadParts
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: ReloadParts) {
    this.#parts = parts
  }

  /**
   * One after the other; `current` tells the configuration that is in effect when the turn has come.
   * @throws {ConfigError} {@link ConfigInPlaceError} MountTableError
   */
  run(current: () => Config): Promise<Reloaded> {
    const turn = this.#last.then(() => this.#logged(current()))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #logged(current: Config): Promise<Reloaded> {
    const { log } = this.#parts
    try {
      const reloaded = await this.#reload(current)
      log.info({ config: current.file, ...reloaded.report }, 'reloaded')
      return reloaded
    } catch (error) {
      log.error({ err: error, config: current.file }, 'the reload was refused; everything is as it was')
      throw error
    }
  }

  async #reload(current: Config): Promise<Reloaded> {
    const { readAgain, table } = this.#parts
    if (current.file === undefined) {
      throw new ConfigInPlaceError(
        'this server was started without a file to read again; start it with --config',
      )
    }
    const config = await readAgain()
    refuseOtherChanges(current, config)
    const before = table.list().filter(({ state }) => state === 'active')
    const mounts = config.mounts.map(({ prefix, host, spec }) =>
      host === undefined ? { prefix, spec } : { prefix, host, spec },
    )
    const { mounts: made } = await table.replaceAll(mounts, { deadline: LOADING })
    const now = made.map(({ prefix, host }) => mountName(prefix, host))
    const old = before.map(({ prefix, host }) => mountName(prefix, host))
    return {
      config,
      report: {
        mounted: now.filter((name) => !old.includes(name)),
        replaced: now.filter((name) => old.includes(name)),
        unmounted: old.filter((name) => !now.includes(name)),
      },
    }
  }
}

/** What only a start can change: it is in the hands of workers, sockets and queues. */
function refuseOtherChanges(current: Config, next: Config): void {
  const [before, after] = [settings(current), settings(next)]
  const changes = [...new Set([...before.keys(), ...after.keys()])].flatMap((key) => {
    const [old, now] = [before.get(key), after.get(key)]
    return old === now ? [] : [`${key} cannot change in place, from ${show(old)} to ${show(now)}`]
  })
  if (changes.length > 0) {
    throw new ConfigInPlaceError(`${changes.join('; ')}: restart the server for that, or put it back`)
  }
}

function settings(config: Config): Map<string, unknown> {
  const { file, mounts, timeouts, ...fixed } = config
  const { drain, ...connections } = timeouts
  const flat = Object.entries({ ...fixed, timeouts: connections }).flatMap(([key, value]) =>
    typeof value === 'object'
      ? Object.entries(value).map(([name, setting]) => [`${key}.${name}`, setting] as const)
      : [[key, value] as const],
  )
  return new Map(flat)
}
