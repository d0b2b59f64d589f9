import { fileURLToPath } from 'node:url'
import { Service } from './service.js'

const program = fileURLToPath(new URL('servers/rolling.js', import.meta.url))

/** @type {import('./servers.js').Server} */
export const nodeCluster = {
  name: 'node:cluster',
  how: 'a new worker, then disconnect() of the old one; SIGTERM after 2 s',
  missing: () => undefined,
  start: async ({ port, workers }) => {
    const service = new Service([process.execPath, program, String(port), String(workers)])
    let restarts = 0
    return {
      restart: async () => {
        restarts += 1
        process.kill(service.pid, 'SIGUSR2')
        await service.heard('rolled\n', restarts)
        return undefined
      },
      stop: () => service.stop(),
      said: () => service.said,
    }
  },
}
