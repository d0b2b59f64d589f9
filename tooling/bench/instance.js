import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const startDeadline = 15_000
const stopDeadline = 10_000
const expected = 'Hello, World!'

/** @typedef {{ server: import('./servers.js').Server, pid: number, url: string, head: string, stop: () => Promise<void> }} Instance */

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
 * Asks once and gives back the answer.
 * @param {string} url
 * @returns {Promise<{ status: number | undefined, head: string, body: string }>}
 */
const ask = (url) =>
  new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 2000 }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text) => (body += text))
      response.on('error', reject)
      response.on('end', () => {
        const pairs = response.rawHeaders.map((part, index) => (index % 2 === 0 ? `${part}: ` : `${part}\n`))
        resolve({ status: response.statusCode, head: pairs.join(''), body })
      })
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 2 s')))
    request.on('error', reject)
  })

/**
 * Starts a server and waits until it gives the expected answer.
 * @param {import('./servers.js').Server} server
 * @param {string} parent  a folder for its files
 * @param {number[] | undefined} cpus  the CPUs to bind it to; any when undefined
 * @returns {Promise<Instance>}
 */
export const start = async (server, parent, cpus) => {
  const folder = join(parent, server.name.replaceAll(/\W/g, '-'))
  mkdirSync(folder)
  const port = await freePort()
  const plain = server.command(port, folder)
  const [command = '', ...args] = cpus === undefined ? plain : ['taskset', '-c', cpus.join(','), ...plain]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (said += text))
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
  const url = `http://127.0.0.1:${port}/`
  let why = await Promise.race([ended, answering(url)])
  if (why === undefined) {
    const { head, status, body } = await ask(url)
    if (status === 200 && body === expected) return { server, pid: child.pid ?? 0, url, head, stop }
    why = `it answered ${status} with ${JSON.stringify(body)}`
  }
  await stop()
  throw new Error(`${server.name} did not start: ${why}\n${plain.join(' ')}\n${said}`)
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
