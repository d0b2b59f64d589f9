// A process of its own that answers for a mount of x-server, and may be ended and started again at any time:
//   node door.js /tmp/greeter.door
//   x-server mount /greeter --module builtin:door --options '{ "path": "/tmp/greeter.door" }'

import { createDoor } from '@x/doors'
import { serveDoor } from '@x/server'

const [path = '/tmp/greeter.door'] = process.argv.slice(2)

async function handle(request, ctx) {
  const name = request.method === 'POST' ? await request.text() : 'world'
  return {
    headers: { 'x-process': process.pid },
    body: `Hello, ${name}, at ${ctx.path} of ${ctx.mountPath}.\n`,
  }
}

const door = createDoor(serveDoor(handle))
// The name that a process leaves which was killed is taken over.
door.attach(path, { reclaim: true })
process.once('SIGTERM', () => void door.revoke())
console.log(`serving ${path}`)
