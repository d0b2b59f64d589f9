import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bodies } from './servers/bodies.js'
import { writeNginxConfig } from './servers/nginx-config.js'

/**
 * @typedef {object} Place  Where a server is to run.
 * @property {number} port
 * @property {string} folder       for its files; empty, and its own
 * @property {number} connections  that it has to bear at once
 */

/**
 * @typedef {object} Server  One way to give the same answers.
 * @property {string} name
 * @property {number} threads                      how many CPUs it can use
 * @property {boolean} quick                       whether it is in a run that names no servers
 * @property {Record<string, string>} [tools]      programs that it needs, with the packages that have them
 * @property {() => string | undefined} [missing]  why it has to be left out
 * @property {{ scenario: string, reason: string }} [unfit]  a scenario that it cannot be in
 * @property {(place: Place) => string[]} command  writes what it needs into the folder
 */

/** @param {string} path */
const at = (path) => fileURLToPath(new URL(path, import.meta.url))

/** @param {number} workers @returns {Server} */
const xServer = (workers) => ({
  name: `x-server-${workers}`,
  threads: workers,
  quick: true,
  command: ({ port, folder }) => {
    const file = join(folder, 'x-server.json')
    const config = {
      host: '127.0.0.1',
      port,
      workers,
      control: join(folder, 'control.sock'),
      mounts: [...bodies.keys()].map((prefix) => ({ prefix, module: at('servers/x-handler.js') })),
      log: { level: 'warn' },
    }
    writeFileSync(file, JSON.stringify(config))
    return [process.execPath, at('../../apps/server/dist/main.js'), '--config', file]
  },
})

/** A server that is one script. @param {string} name @param {string} script @param {Partial<Server>} more @returns {Server} */
const scripted = (name, script, more = {}) => ({
  name,
  threads: 1,
  quick: false,
  command: ({ port }) => [process.execPath, at(`servers/${script}`), String(port)],
  ...more,
})

/** @type {Server} */
const nginx = {
  name: 'nginx',
  threads: 1,
  quick: true,
  tools: { nginx: 'nginx-light' },
  command: (place) => ['nginx', '-p', place.folder, '-e', 'stderr', '-c', writeNginxConfig(place)],
}

/** @type {Server} */
const epoll = {
  name: 'epoll.c',
  threads: 1,
  quick: true,
  tools: { cc: 'gcc' },
  command: ({ port, folder }) => {
    const program = join(folder, 'epoll')
    execFileSync('cc', ['-O2', '-Wall', at('servers/epoll.c'), '-o', program])
    return [program, String(port)]
  },
}

const cluster = scripted('node:cluster-2', 'node-cluster.js', {
  threads: 2,
  command: ({ port }) => [process.execPath, at('servers/node-cluster.js'), String(port), '2'],
})

const uws = scripted('uws', 'uws.js', {
  unfit: { scenario: 'idle-memory', reason: 'it closes idle connections after 10 s' },
  missing: () =>
    process.env.X_UWS
      ? undefined
      : 'set X_UWS to the folder of uWebSockets.js v20, which has uws.js and a binary for this Node',
  command: ({ port }) => [process.execPath, at('servers/uws.js'), String(port), process.env.X_UWS ?? ''],
})

const nodeHttp = scripted('node:http', 'node-http.js', { quick: true })

/** In the order in which a round drives them. @type {Server[]} */
export const servers = [
  xServer(1),
  epoll,
  nodeHttp,
  xServer(2),
  nginx,
  uws,
  scripted('fastify', 'fastify.js'),
  cluster,
]

/** What every other server is compared with. */
export const bases = [epoll.name, nginx.name, nodeHttp.name]
