import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { answering, freePort } from '../instance.js'
import { Clients } from './clients.js'
import { withDescriptors } from './descriptors.js'
import { asClient } from './placement.js'

/** Milliseconds before the first restart that are not measured: code is compiled, and the clients connect. */
const warmUp = 2000
const warmUpOfConnection = 0.5
/** Milliseconds after a restart in which its last effects are seen. */
const settling = 500

/**
 * @typedef {object} Plan
 * @property {string} folder
 * @property {string} clients      their program
 * @property {Record<string, number>} kinds  of clients, with their numbers
 * @property {number} restarts
 * @property {number} seconds      over which they are spread
 * @property {number} workers
 * @property {string | undefined} pm2
 */

/**
 * @typedef {object} Restart  Milliseconds.
 * @property {number} took                 from the command to its end
 * @property {number | undefined} stall    in which nobody served, as the server says
 * @property {number} longest              of the requests around it
 * @property {number} gap                  in which the clients had no answer
 */

/** @typedef {import('./clients.js').Report & { name: string, how: string, restarts: Restart[] }} Measured */

/**
 * Restarts a server under load.
 * @param {import('./servers.js').Server} server
 * @param {Plan} plan
 * @returns {Promise<Measured>}
 */
export const measure = async (server, plan) => {
  const folder = join(plan.folder, server.name.replaceAll(/\W/g, '-'))
  mkdirSync(folder)
  const port = await freePort()
  const connections = Object.values(plan.kinds).reduce((sum, count) => sum + count, 0)
  const { workers, pm2 } = plan
  const running = await server.start({ port, folder, workers, connections, pm2 })
  /** @type {Clients | undefined} */
  let clients
  try {
    const why = await answering(`http://127.0.0.1:${port}/echo?id=0`)
    if (why !== undefined) throw new Error(why)
    const kinds = Object.entries(plan.kinds).map(([kind, count]) => `${kind}=${count}`)
    clients = new Clients(asClient(withDescriptors([plan.clients], connections)), port, kinds)
    await delay(warmUp + warmUpOfConnection * connections)
    const restarts = await restartAgain(running, clients, plan)
    return {
      ...(await clients.end()),
      name: server.name,
      how: server.how,
      longest: Math.max(...restarts.map((restart) => restart.longest)),
      gap: Math.max(...restarts.map((restart) => restart.gap)),
      restarts,
    }
  } catch (error) {
    throw new Error(`${/** @type {Error} */ (error).message}\n${running.said()}`, { cause: error })
  } finally {
    clients?.kill()
    await running.stop()
  }
}

/** @param {import('./servers.js').Running} running @param {Clients} clients @param {Plan} plan */
const restartAgain = async (running, clients, { restarts: count, seconds }) => {
  const interval = (seconds * 1000) / count
  /** @type {Restart[]} */
  const restarts = []
  await clients.report()
  let begin = performance.now()
  for (let restart = 1; restart <= count; restart += 1) {
    await until(begin + interval / 2)
    const asked = performance.now()
    const stall = await running.restart()
    const took = performance.now() - asked
    await until(Math.max(begin + interval, asked + took + settling))
    const { longest, gap } = await clients.report()
    restarts.push({ took, stall, longest, gap })
    // One that takes longer than its share puts the next ones off.
    begin = Math.max(begin + interval, performance.now())
  }
  return restarts
}

/** @param {number} time of performance.now() */
const until = (time) => delay(Math.max(time - performance.now(), 0))
