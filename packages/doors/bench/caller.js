// One of many clients of a server: `node caller.js '{"subject":…}'`, forked. It says when it is warm, calls when it is
// told to, and says how many calls a second there were.
import { once } from 'node:events'
import { burst } from './burst.js'
import { reporting } from './child.js'

const options = JSON.parse(process.argv[2])
const { subject, seconds } = options
const BYTES = 16

process.once('disconnect', () => process.exit())

await reporting(async () => {
  const { connect } = await import(`./subjects/${subject}.js`)
  const connection = await connect(options)
  const { prepare = (bytes) => bytes } = connection
  const request = prepare(Buffer.alloc(BYTES, 'x'))
  await burst(connection, request, undefined, seconds / 2)
  process.send({ control: 'ready' })
  await once(process, 'message')
  const { wall } = await burst(connection, request, undefined, seconds)
  process.send({ control: 'done', rate: 1e6 / wall })
})
