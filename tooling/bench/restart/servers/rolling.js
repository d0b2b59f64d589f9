// node:cluster with a rolling restart at SIGUSR2. Arguments: PORT WORKERS. A line "rolled" tells the end of one.
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { echo } from './echo-listener.js'

const [, , port, workers] = process.argv
// A connection that is always in use keeps a disconnected worker for ever: whoever restarts so ends it after a while.
const patience = 2000

/** @param {import('node:cluster').Worker} old */
const retire = async (old) => {
  const late = setTimeout(() => old.process.kill('SIGTERM'), patience)
  const gone = once(old, 'exit')
  old.disconnect()
  await gone
  clearTimeout(late)
}

/** Each new worker serves before an old one is asked to leave; resolves when the last of those has gone. */
const roll = async () => {
  const leaving = []
  for (const old of Object.values(cluster.workers ?? {})) {
    if (old === undefined) continue
    await once(cluster.fork(), 'listening')
    leaving.push(retire(old))
  }
  await Promise.all(leaving)
  process.stdout.write('rolled\n')
}

if (cluster.isPrimary) {
  for (let count = Number(workers); count > 0; count -= 1) cluster.fork()
  process.on('SIGUSR2', roll)
} else {
  createServer(echo).listen(Number(port), '127.0.0.1', 1024)
}
