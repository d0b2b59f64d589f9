// The server of a subject: `node server.js '{"subject":…}'`, forked. It says when it is there, and what CPU time it has
// used; it ends with its parent.
import { reporting } from './child.js'
import { cpuMicroseconds } from './cpu.js'

const options = JSON.parse(process.argv[2])
process.once('disconnect', () => process.exit())
process.on('message', (message) => {
  if (message.control === 'cpu') process.send({ control: 'cpu', cpu: cpuMicroseconds() })
})
await reporting(async () => {
  const { serve } = await import(`./subjects/${options.subject}.js`)
  await serve(options)
  process.send({ control: 'ready' })
})
