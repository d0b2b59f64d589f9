/**
 * An HTTP server that the service manager listens for, and starts at the first connection:
 *
 *     systemd-socket-activate -l 8080 --fdname=http node socket-activation.js
 */
import { createServer } from 'node:http'
import { listenFds, notify, watchdog } from '@x/fdpass'

const server = createServer((_request, response) => response.end(`${JSON.stringify({ pid: process.pid })}\n`))
const http = listenFds().find(({ name, fd }) => name === 'http' && fd.kind === 'tcp-listener')
if (http === undefined) throw new Error('no TCP listener named http was passed: see systemd.socket(5)')

server.listen({ fd: http.fd.take() }, () => notify({ ready: true, status: 'serving' }))

const interval = watchdog()
if (interval !== undefined) setInterval(() => notify({ watchdog: true }), interval / 2).unref()

process.once('SIGTERM', async () => {
  await notify({ stopping: true })
  server.close() // the manager's copy listens on: who connects now is served by the next process
})
