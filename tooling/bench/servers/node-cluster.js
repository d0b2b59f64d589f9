// The server of node:http in processes of node:cluster. Arguments: PORT WORKERS.
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { listener, options } from './node-listener.js'

if (cluster.isPrimary) for (let count = Number(process.argv[3]); count > 0; count -= 1) cluster.fork()
else createServer(options, listener).listen(Number(process.argv[2]), '127.0.0.1', 1024)
