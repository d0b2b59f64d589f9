import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { asServer } from './placement.js'

const stopDeadline = 15_000

/** A program in the foreground, with all that it has said so far. */
export class Service {
  said = ''
  #child
  #failure = ''
  #closed

  /** @param {string[]} commandLine @param {NodeJS.ProcessEnv} [environment] beside this process's */
  constructor(commandLine, environment = {}) {
    const [command = '', ...args] = asServer(commandLine)
    const env = { ...process.env, ...environment }
    this.#child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (this.said += text))
    this.#child.on('error', (error) => (this.#failure = error.message))
    // A successor has the same output: that ends with the last process.
    this.#closed = once(this.#child, 'close').catch(() => undefined)
  }

  get pid() {
    return this.#child.pid ?? 0
  }

  /** Why it does not run any more; undefined while it does. */
  get over() {
    const { exitCode, signalCode } = this.#child
    return this.#failure || (exitCode ?? signalCode)?.toString()
  }

  /** Resolves when it has said this as often as that. @param {string} text @param {number} times */
  async heard(text, times) {
    while (this.said.split(text).length <= times) {
      if (this.over !== undefined) throw new Error(`it ended with ${this.over}\n${this.said}`)
      await once(this.#child.stdout, 'data', { signal: AbortSignal.timeout(60_000) })
    }
  }

  /**
   * Ends these processes, which are it or its successors, and waits until all are gone that have its output.
   * @param {number[]} pids
   */
  async stop(pids = [this.pid]) {
    const late = Symbol('late')
    for (const signal of /** @type {const} */ (['SIGTERM', 'SIGKILL'])) {
      for (const pid of pids) kill(pid, signal)
      if ((await Promise.race([this.#closed, delay(stopDeadline, late, { ref: false })])) !== late) return
    }
  }
}

/** @param {number} pid @param {NodeJS.Signals} signal */
const kill = (pid, signal) => {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}
