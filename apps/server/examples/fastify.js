// An app of Fastify: its router is the listener, and it starts and ends with the mount.

import fastify from 'fastify'
import { fromNodeListener } from '@x/server'

const app = fastify()
app.get('/greetings/:name', ({ params }) => ({ greeting: `Hello, ${params.name}` }))
const schema = { body: { type: 'array', items: { type: 'number' } } }
app.post('/sums', { schema }, ({ body }) => ({ sum: body.reduce((sum, each) => sum + each, 0) }))

export const init = () => app.ready()
export const { handle } = fromNodeListener((request, response) => app.routing(request, response))
export const cleanup = () => app.close()
