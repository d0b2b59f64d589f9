// An app of Express that does what apps do: middleware, JSON, files, streams, errors of all kinds.
import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import express from 'express'
import { fromNodeListener } from '@x/server'

const self = fileURLToPath(import.meta.url)
const app = express()
app.use((request, response, next) => {
  response.set('x-path', `${request.baseUrl}|${request.path}|${request.originalUrl}`)
  next()
})
app.use('/files', express.static(fileURLToPath(new URL('.', import.meta.url))))
app.get('/json/:name', ({ params, query }, response) => {
  response.json({ ...params, ...query })
})
app.post('/json', express.json(), ({ body }, response) => {
  response.status(201).json(body)
})
app.post('/upload', express.raw({ limit: '6mb', type: '*/*' }), ({ body }, response) => {
  response.send(String(body.length))
})
app.get('/stream', (_request, response) => {
  createReadStream(self).pipe(response)
})
app.get('/file', (_request, response) => {
  response.sendFile(self)
})
app.get('/redirect', (_request, response) => {
  response.redirect('/elsewhere')
})
app.get('/throws', () => {
  throw new Error('thrown')
})
app.get('/rejects', async () => {
  await Promise.resolve()
  throw new Error('rejected')
})
app.use((error, _request, response, next) => {
  if (response.headersSent) next(error)
  else response.status(error.status ?? 500).json({ error: error.message })
})

export const { handle } = fromNodeListener(app)
