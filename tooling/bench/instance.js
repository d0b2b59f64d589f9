import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ask } from './answer.js'

const startDeadline = 15_000
const stopDeadline = 10_000

/**
 * A server that runs. `url` is without a path.
 * @typedef {{ server: import('./servers.js').Server, pid: number, port: number, url: string, stop: () => Promise<void> }} Instance
 */

/**
 * @typedef {object} Conditions
 * @property {string} parent        a folder for the server's own
 * @property {number} connections   that it has to bear at once
 * @property {number[] | undefined} cpus  to bind it to; any when undefined
 */

/** A port that nobody listens on just now. @returns {Promise<number>} */
export const freePort = async () => {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/**
 * Starts a program, whose end and output it keeps.
 * @param {string[]} words
 */
const launch = ([command = '', ...args]) => {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output.text += text))
  /** @type {Promise<string>} */
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('exit', (status, signal) => resolve(`it ended with ${signal ?? status}`))
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const late = Symbol('late')
    if ((await Promise.race([ended, delay(stopDeadline, late, { ref: false })])) === late)
      child.kill('SIGKILL')
    await ended
  }
  return { pid: child.pid ?? 0, output, ended, stop }
}

/** Waits for the first answer. @param {string} url @returns {Promise<string | undefined>} why there was none */
export const answering = async (url) => {
  const end = performance.now() + startDeadline
  for (;;) {
    try {
      await ask(url)
      return undefined
    } catch (error) {
      if (performance.now() > end)
        return `no answer in ${startDeadline} ms: ${/** @type {Error} */ (error).message}`
      await delay(20)
    }
  }
}

/**
 * Starts a server and waits until it answers.
 * @param {import('./servers.js').Server} server
 * @param {Conditions} conditions  CPUs are for a server of one thread
 * @returns {Promise<Instance>}
 */
export const start = async (server, { parent, connections, cpus }) => {
  const folder = mkdtempSync(join(parent, `${server.name.replaceAll(/\W/g, '-')}-`))
  const port = await freePort()
  const plain = server.command({ port, folder, connections })
  const bound = cpus !== undefined && server.threads === 1
  const { pid, output, ended, stop } = launch(bound ? ['taskset', '-c', cpus.join(','), ...plain] : plain)
  const url = `http://127.0.0.1:${port}`
  const why = await Promise.race([ended, answering(`${url}/`)])
  if (why === undefined) return { server, pid, port, url, stop }
  await stop()
  throw new Error(`${server.name} did not start: ${why}\n${plain.join(' ')}\n${output.text}`)
}
