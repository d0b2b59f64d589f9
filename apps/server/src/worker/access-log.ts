import type { HttpRequest } from '@x/http1'
import type { Mount } from '@x/mounttable'
import { destination, pino } from 'pino'
import type { MountSpec } from '../handler.ts'
import { logOptions, readableEntry } from '../log.ts'

/** Bytes that are written at once: with one more line less than PIPE_BUF, so that no thread's lines are torn. */
const CHUNK = 2048
/** Characters of a target that are written. */
const LONGEST_TARGET = 1024
/** Milliseconds that a line may wait. */
const FLUSH_INTERVAL = 1000

interface Begun {
  readonly started: number
  readonly fields: { request: string; remote: string | undefined; method: string; target: string }
  status: number | undefined
}

/**
 * One line for each request that a handler or the dispatch has answered, whatever the log's level: its name, which a
 * failure is logged with too, the client, the response's status, the handler, and the time from the head to the last
 * byte handed to the engine. Lines are collected, and written by the next second or when the thread leaves.
 */
export class AccessLog implements Disposable {
  readonly #output = destination({ fd: 1, sync: true, minLength: CHUNK })
  readonly #log = process.stdout.isTTY
    ? pino(logOptions('info'), { write: (entry: string) => this.#output.write(readableEntry(entry)) })
    : pino(logOptions('info'), this.#output)
  readonly #worker: number
  readonly #begun = new WeakMap<HttpRequest, Begun>()
  readonly #timer: NodeJS.Timeout

  constructor(worker: number) {
    this.#worker = worker
    this.#timer = setInterval(() => {
      this.#output.flushSync()
    }, FLUSH_INTERVAL).unref()
  }

  /** Before a handler has it: after its response a request may be gone. */
  begin(request: HttpRequest): void {
    const { id, remoteAddress: remote, method } = request
    const target = request.target.slice(0, LONGEST_TARGET)
    const fields = { request: id, remote, method, target }
    this.#begun.set(request, { started: performance.now(), fields, status: undefined })
  }

  answered(request: HttpRequest, status = 200): void {
    const begun = this.#begun.get(request)
    if (begun !== undefined) begun.status = status
  }

  /** Without a mount the dispatch has answered by itself. */
  end(request: HttpRequest, mount?: Mount<MountSpec>): void {
    const begun = this.#begun.get(request)
    if (begun === undefined) return
    this.#begun.delete(request)
    const { fields, started, status } = begun
    const ms = Math.round((performance.now() - started) * 1000) / 1000
    const { prefix, generation } = mount ?? {}
    this.#log.info({ ...fields, status, ms, mount: prefix, generation, worker: this.#worker }, 'request')
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#output.flushSync()
  }
}
