import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { withDescriptors } from './descriptors.js'
import { Service } from './service.js'

/** @param {string} path */
const at = (path) => fileURLToPath(new URL(path, import.meta.url))
const main = at('../../../apps/server/dist/main.js')

/** @type {import('./servers.js').Server} */
export const xServer = {
  name: 'x-server',
  how: 'x-server restart',
  missing: () => undefined,
  start: async ({ port, folder, workers, connections }) => {
    const file = join(folder, 'x-server.json')
    const config = {
      host: '127.0.0.1',
      port,
      workers,
      control: join(folder, 'control.sock'),
      // Connections that rest do so for longer than a run.
      timeouts: { idle: 3_600_000 },
      mounts: [{ prefix: '/', module: at('servers/echo.js') }],
    }
    writeFileSync(file, JSON.stringify(config))
    const service = new Service(withDescriptors([process.execPath, main, '--config', file], connections))
    const pids = [service.pid]
    return {
      restart: async () => {
        const args = [main, 'restart', '--json', '--config', file]
        const { stdout } = await promisify(execFile)(process.execPath, args)
        const { pid, stall } = JSON.parse(stdout)
        pids.push(pid)
        return stall
      },
      stop: () => service.stop(pids),
      said: () => service.said,
    }
  },
}
