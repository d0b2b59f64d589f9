// An app of Fastify: schemas, streams, hooks and errors.
import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fastify from 'fastify'
import { fromNodeListener } from '@x/server'

const app = fastify({ bodyLimit: 6 * 1024 * 1024 })
let responses = 0
app.addHook('onResponse', async () => {
  responses++
})
app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => {
  done(null, body)
})
app.get('/json/:name', async ({ params, query, originalUrl }) => ({ ...params, ...query, originalUrl }))
const schema = { body: { type: 'object', required: ['a'], properties: { a: { type: 'number' } } } }
app.post('/json', { schema }, async ({ body }, reply) => reply.code(201).send(body))
app.post('/upload', async ({ body }) => String(body.length))
app.get('/stream', async (_request, reply) => reply.send(createReadStream(fileURLToPath(import.meta.url))))
app.get('/throws', async () => {
  throw new Error('thrown')
})
app.get('/responses', async () => String(responses))

export const init = () => app.ready()
export const { handle } = fromNodeListener((request, response) => app.routing(request, response))
export const cleanup = () => app.close()
