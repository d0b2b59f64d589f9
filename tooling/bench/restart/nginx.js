import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ownFolder } from '../servers/nginx-config.js'
import { echo } from './servers/echo-listener.js'
import { Service } from './service.js'

/**
 * Its workers answer by themselves, with their pid; they cannot wait, so slow answers come from behind it.
 * @param {import('./servers.js').Settings} settings
 */
const nginxConfig = ({ port, folder, workers, connections }) => `
${ownFolder(folder).main}
worker_processes ${workers};
error_log stderr error;
events { worker_connections ${2 * connections + 1000}; }
http {
  access_log off;
  default_type text/plain;
  # Its default of 1000 would have it close connections that the others keep.
  keepalive_requests 1000000000;
${ownFolder(folder).http}
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / { return 200 "pid=$pid $request_uri $content_length\\n"; }
    location /slow { proxy_pass http://unix:${folder}/slow.sock; }
  }
}
`

/** @type {import('./servers.js').Server} */
export const nginx = {
  name: 'nginx',
  how: 'nginx -s reload',
  missing: () =>
    spawnSync('nginx', ['-v']).error && 'it was not found; install it with: apt-get install nginx-light',
  start: async (settings) => {
    const { folder } = settings
    const behind = createServer(echo).listen(join(folder, 'slow.sock'))
    await once(behind, 'listening')
    const file = join(folder, 'nginx.conf')
    writeFileSync(file, nginxConfig(settings))
    const command = ['nginx', '-p', folder, '-e', 'stderr', '-c', file]
    const service = new Service(command)
    return {
      restart: async () => {
        const [program = '', ...args] = command
        await promisify(execFile)(program, [...args, '-s', 'reload'])
        return undefined
      },
      stop: async () => {
        await service.stop()
        behind.close()
        behind.closeAllConnections()
      },
      said: () => service.said,
    }
  },
}
