import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('../../../apps/server/test/load/keep-alive.c', import.meta.url))

/** A run has an end even if nobody ends it: seconds. */
const longestRun = 3600

/**
 * @typedef {object} Report  Since the beginning; the two times since the report before. Milliseconds.
 * @property {number} requests     that were answered
 * @property {number} failed       requests that were begun and not answered, or wrongly
 * @property {number} unserved     of these, on a connection that has had no answer: refused, reset or ended
 * @property {number} connections  that are kept
 * @property {number} survived     of these, from the first request to the last
 * @property {number} moved        of these, to another process
 * @property {number} longest      time of a request
 * @property {number} gap          time in which none was answered
 */

/** Compiles the clients into a folder. @param {string} folder @returns {string} the program */
export const compileClients = (folder) => {
  const program = join(folder, 'keep-alive')
  execFileSync('cc', ['-O2', source, '-o', program], { stdio: 'pipe' })
  return program
}

/** Clients in a process of their own. */
export class Clients {
  #child
  #lines

  /** @param {string[]} commandLine @param {number} port @param {string[]} kinds with their numbers */
  constructor([command = '', ...args], port, kinds) {
    this.#child = spawn(command, [...args, String(port), String(longestRun), ...kinds], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]()
  }

  /** What has been so far. @returns {Promise<Report>} */
  report() {
    return this.#told('SIGUSR1')
  }

  /** Has all that wait get their answers. @returns {Promise<Report>} */
  async end() {
    const closed = once(this.#child, 'close')
    const report = await this.#told('SIGTERM')
    await closed
    return report
  }

  kill() {
    this.#child.kill('SIGKILL')
  }

  /** @param {NodeJS.Signals} signal @returns {Promise<Report>} */
  async #told(signal) {
    this.#child.kill(signal)
    const { done, value } = await this.#lines.next()
    if (done) throw new Error('the clients have ended')
    return JSON.parse(value)
  }
}
