// The server of Fastify. Arguments: PORT.
import fastify from 'fastify'
import { bodies } from './bodies.js'

const app = fastify()
for (const [path, body] of bodies) app.get(path, (_request, reply) => reply.type('text/plain').send(body))
await app.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 1024 })
