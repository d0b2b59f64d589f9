import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {object} Server  One way to serve the same 13 bytes.
 * @property {string} name
 * @property {number} threads                                    How many CPUs it can use.
 * @property {(port: number, folder: string) => string[]} command  Writes what it needs into the folder.
 */

/** @param {string} path */
const at = (path) => fileURLToPath(new URL(path, import.meta.url))

/** @param {number} workers @returns {Server} */
const xServer = (workers) => ({
  name: `x-server-${workers}`,
  threads: workers,
  command: (port, folder) => {
    const file = join(folder, 'x-server.json')
    const config = {
      host: '127.0.0.1',
      port,
      workers,
      control: join(folder, 'control.sock'),
      mounts: [{ prefix: '/', module: at('servers/hello.js') }],
      log: { level: 'warn' },
    }
    writeFileSync(file, JSON.stringify(config))
    return [process.execPath, at('../../apps/server/dist/main.js'), '--config', file]
  },
})

/** @type {Server} */
const nodeHttp = {
  name: 'node:http',
  threads: 1,
  command: (port) => [process.execPath, at('servers/node-http.js'), String(port)],
}

/** @param {number} port @param {string} folder */
const nginxConfig = (port, folder) => `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  # Its default of 1000 would have it close connections that the others keep.
  keepalive_requests 1000000000;
  client_body_temp_path ${folder};
  proxy_temp_path ${folder};
  fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder};
  scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / { return 200 "Hello, World!"; }
  }
}
`

/** @type {Server} */
const nginx = {
  name: 'nginx',
  threads: 1,
  command: (port, folder) => {
    const file = join(folder, 'nginx.conf')
    writeFileSync(file, nginxConfig(port, folder))
    return ['nginx', '-p', folder, '-e', 'stderr', '-c', file]
  },
}

/** In the order in which a round drives them. */
export const servers = [xServer(1), nodeHttp, xServer(2), nginx]

/** What every other server is compared with. */
export const bases = [nodeHttp.name, nginx.name]
