import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bodySize } from './answer.js'
import { settledTreePss } from './memory.js'

const program = fileURLToPath(new URL('idle-client.js', import.meta.url))

/** Descriptors that client and server need for other things than connections. */
const spare = 256

/**
 * How many connections of those asked for the limit of open descriptors lets there be, and that limit. Node raises
 * its own to the hard limit when it starts, and what it starts inherits that.
 * @param {number} wanted
 */
export const boundedConnections = (wanted) => {
  const text = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  const limit = text === 'unlimited' ? Infinity : Number(text)
  return { connections: Math.max(1, Math.min(wanted, limit - spare)), limit }
}

/** Starts the client. @param {number} port @param {number} connections @param {number | undefined} cpu */
const startClient = async (port, connections, cpu) => {
  const plain = [process.execPath, program, String(port), String(connections), String(bodySize('/'))]
  const [command = '', ...args] = cpu === undefined ? plain : ['taskset', '-c', String(cpu), ...plain]
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  /** @returns {Promise<Record<string, number>>} */
  const next = async () => {
    const stopped = new AbortController()
    const { signal } = stopped
    try {
      const gone = once(child, 'exit', { signal }).then(() => {
        throw new Error('the client with the idle connections ended')
      })
      const [message] = await Promise.race([once(child, 'message', { signal }), gone])
      return message
    } finally {
      stopped.abort()
    }
  }
  /** @param {'warm' | 'open' | 'count'} message */
  const tell = (message) => {
    child.send(message)
    return next()
  }
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await next()
  return { tell, stop }
}

/**
 * What idle connections cost a server that was started for this: by how much its memory rises with the second half of
 * them. The first half, and many requests before, have it make what it makes once, and give back what starting took.
 * @param {import('./instance.js').Instance} instance
 * @param {{ connections: number, cpu: number | undefined }} options
 * @returns {Promise<{ connections: number, bytesPerConnection: number, errors: number }>}
 */
export const measureIdleMemory = async ({ pid, port }, { connections, cpu }) => {
  const half = Math.ceil(connections / 2)
  const client = await startClient(port, half, cpu)
  try {
    await client.tell('warm')
    await settledTreePss(pid)
    const first = await client.tell('open')
    const before = await settledTreePss(pid)
    const second = await client.tell('open')
    const after = await settledTreePss(pid)
    const { alive = 0 } = await client.tell('count')
    const errors = (first.failed ?? 0) + (second.failed ?? 0)
    const closed = (first.opened ?? 0) + (second.opened ?? 0) - alive
    return { connections: alive, bytesPerConnection: (after - before) / half, errors: errors + closed }
  } finally {
    await client.stop()
  }
}
