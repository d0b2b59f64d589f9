import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bodies } from './bodies.js'

/** What every nginx of the bench has: it keeps its files in its folder, and runs as whoever starts it. @param {string} folder */
export const ownFolder = (folder) => ({
  main: `daemon off;
pid ${folder}/nginx.pid;
${process.getuid?.() === 0 ? 'user root;' : ''}`,
  http: ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${folder};`)
    .join('\n'),
})

/**
 * A location for a body. nginx has long bodies only in files, which it keeps open and sends with sendfile(2).
 * @param {string} path @param {string | Buffer} body @param {string} folder
 */
const location = (path, body, folder) => {
  if (typeof body === 'string') return `location = ${path} { return 200 "${body}"; }`
  writeFileSync(join(folder, path), body)
  return `location = ${path} { root ${folder}; }`
}

/**
 * Writes the configuration of one worker process, and the files that it serves, and returns where.
 * @param {import('../servers.js').Place} place
 */
export const writeNginxConfig = ({ port, folder, connections }) => {
  const file = join(folder, 'nginx.conf')
  const locations = [...bodies].map(([path, body]) => location(path, body, folder))
  // Its default of 1000 requests would have it close connections that the others keep.
  const own = ownFolder(folder)
  const text = `
${own.main}
worker_processes 1;
error_log stderr warn;
# It closes idle connections when fewer than a sixteenth are left.
events { worker_connections ${Math.ceil(connections * 1.1) + 64}; }
http {
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16 inactive=1h;
  open_file_cache_valid 1h;
${own.http}
  server {
    listen 127.0.0.1:${port} backlog=1024;
    ${locations.join('\n    ')}
  }
}
`
  writeFileSync(file, text)
  return file
}
