// What PM2 runs in cluster mode, as its documentation advises: ready once it listens, and with SIGINT it answers what
// it has in hand before it ends. PORT is in the environment.
import { createServer } from 'node:http'
import { echo } from './echo-listener.js'

const server = createServer(echo)
server.listen(Number(process.env.PORT), '127.0.0.1', 1024, () => process.send?.('ready'))
process.on('SIGINT', () => {
  server.close(() => process.exit(0))
})
