import { nginx } from './nginx.js'
import { nodeCluster } from './node-cluster.js'
import { pm2 } from './pm2.js'
import { xServer } from './x-server.js'

/**
 * @typedef {object} Settings
 * @property {number} port
 * @property {string} folder       for its files
 * @property {number} workers
 * @property {number} connections  at once
 * @property {string | undefined} pm2  the program of PM2
 */

/**
 * @typedef {object} Running
 * @property {() => Promise<number | undefined>} restart  Resolves when it is over, with the milliseconds in which nobody served if the server tells.
 * @property {() => Promise<void>} stop
 * @property {() => string} said  What it has said.
 */

/**
 * @typedef {object} Server  All give the answers that apps/server/test/load/keep-alive.c expects.
 * @property {string} name
 * @property {string} how                                                  How it is restarted.
 * @property {(settings: Pick<Settings, 'pm2'>) => string | undefined} missing  What it lacks, and how to get that.
 * @property {(settings: Settings) => Promise<Running>} start              It may not answer yet.
 */

/** @type {Server[]} */
export const servers = [xServer, nginx, nodeCluster, pm2]
