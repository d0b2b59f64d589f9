import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Forks a program of this folder, on some CPUs when they are given. */
export const start = (name, options, { cpus, serialization = 'json' } = {}) => {
  const pinned = cpus === undefined ? {} : { execPath: 'taskset', execArgv: ['-c', cpus, process.execPath] }
  return fork(fileURLToPath(new URL(name, import.meta.url)), [JSON.stringify(options)], {
    ...pinned,
    serialization,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

/** Longer than any part of a measurement that nothing disturbs. */
const PATIENCE = 20_000

/** The next message of a child that is about the measurement. Rejects when the child has failed, ended or is late. */
export const controlOf = (child) =>
  new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer)
      child.off('message', take).off('exit', end)
    }
    const fail = (reason) => {
      done()
      reject(new Error(reason))
    }
    const take = (message) => {
      if (message.control === undefined) return
      if (message.control === 'failed') {
        fail(message.error)
        return
      }
      done()
      resolve(message)
    }
    const end = (status, signal) => fail(`a process of the measurement has ended: ${signal ?? status}`)
    const timer = setTimeout(() => fail('a process of the measurement does not answer'), PATIENCE)
    child.on('message', take).on('exit', end)
  })

/** In a child: what fails in `body` is told to the parent, and ends it. */
export const reporting = async (body) => {
  try {
    await body()
  } catch (error) {
    process.send({ control: 'failed', error: String(error) }, () => process.exit(1))
  }
}

/** A server that can be called. */
export const startServer = async (options, cpus) => {
  const server = start('server.js', options, { cpus, serialization: options.serialization })
  try {
    await controlOf(server)
  } catch (error) {
    server.kill('SIGKILL')
    throw error
  }
  return server
}
