import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const report = fileURLToPath(new URL('report.lua', import.meta.url))

/**
 * @typedef {object} Load
 * @property {string} url
 * @property {number} connections
 * @property {number} seconds
 * @property {Record<string, string>} [headers]  of each request, beside Host
 * @property {number | undefined} [cpu]          the CPU to bind wrk to; any unless told
 */

/**
 * @typedef {object} Measured
 * @property {number} requests   answered
 * @property {number} perSecond
 * @property {number} bytes      received in all
 * @property {number} errors     connections, reads, writes and timeouts that failed, and answers other than 2xx and 3xx
 * @property {number} p50        latencies in milliseconds
 * @property {number} p90
 * @property {number} p99
 * @property {number} max
 */

/**
 * Puts a load on a server with wrk and reads what wrk measured.
 * @param {Load} load
 * @returns {Promise<Measured>}
 */
export const wrk = async ({ url, connections, seconds, headers = {}, cpu }) => {
  const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const plain = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, ...fields, '-s', report, url]
  const [command = 'wrk', ...args] = cpu === undefined ? plain : ['taskset', '-c', String(cpu), ...plain]
  const timeout = (seconds + 30) * 1000
  const { stdout } = await promisify(execFile)(command, args, { timeout })
  const line = stdout.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk gave no report:\n${stdout}`)
  const said = /** @type {Record<string, number>} */ (JSON.parse(line))
  /** @param {string} key */
  const value = (key) => said[key] ?? 0
  return {
    requests: value('requests'),
    perSecond: value('requests') / (value('microseconds') / 1e6),
    bytes: value('bytes'),
    errors: ['connect', 'read', 'write', 'status', 'timeout'].reduce((sum, key) => sum + value(key), 0),
    p50: value('p50') / 1000,
    p90: value('p90') / 1000,
    p99: value('p99') / 1000,
    max: value('max') / 1000,
  }
}
