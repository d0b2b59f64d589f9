import type { MountInfo, Mount } from '@x/mounttable'
import type { Logger } from 'pino'
import type { HandlerContext, HandlerLog, HandlerModule, MountSpec, ServerHealth } from '../handler.ts'

/** What the whole thread gives to its handlers. */
export interface HandlerHost {
  readonly worker: number
  readonly log: Logger
  mounts(): MountInfo<MountSpec>[]
  mountsNow(): Promise<MountInfo<MountSpec>[]>
  health(): ServerHealth
  counters(): Record<string, number>
}

/** A handler module in one thread, as it is mounted: one for each generation. */
export class MountedHandler {
  readonly module: HandlerModule
  readonly mount: Mount<MountSpec>
  readonly host: HandlerHost
  readonly log: HandlerLog

  constructor(module: HandlerModule, mount: Mount<MountSpec>, host: HandlerHost) {
    this.module = module
    this.mount = mount
    this.host = host
    this.log = handlerLog(
      host.log.child({ mount: mount.prefix, generation: mount.generation, worker: host.worker }),
    )
  }

  /** The context of one request, or, with an empty path, of init and cleanup. */
  context(path: string, signal?: () => AbortSignal): HandlerContext {
    return new RequestContext(this, path, signal)
  }
}

// Accessors on a prototype: a request pays for one small object.
class RequestContext implements HandlerContext {
  readonly path: string
  readonly #handler: MountedHandler
  readonly #signal: (() => AbortSignal) | undefined

  constructor(handler: MountedHandler, path: string, signal: (() => AbortSignal) | undefined) {
    this.path = path
    this.#handler = handler
    this.#signal = signal
  }
  get mountPath(): string {
    return this.#handler.mount.prefix
  }
  get generation(): number {
    return this.#handler.mount.generation
  }
  get worker(): number {
    return this.#handler.host.worker
  }
  get options(): unknown {
    return this.#handler.mount.spec.options
  }
  get log(): HandlerLog {
    return this.#handler.log
  }
  // A getter for the optional property: the signal is made when a handler asks for it.
  get signal(): AbortSignal {
    return this.#signal?.() ?? never
  }
  mounts(): MountInfo<MountSpec>[] {
    return this.#handler.host.mounts()
  }
  mountsNow(): Promise<MountInfo<MountSpec>[]> {
    return this.#handler.host.mountsNow()
  }
  health(): ServerHealth {
    return this.#handler.host.health()
  }
  counters(): Record<string, number> {
    return this.#handler.host.counters()
  }
}

const never = new AbortController().signal

function handlerLog(log: Logger): HandlerLog {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      log[level](fields, message)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
