// The server of node:http. Arguments: PORT.
import { createServer } from 'node:http'
import { listener, options } from './node-listener.js'

createServer(options, listener).listen(Number(process.argv[2]), '127.0.0.1', 1024)
