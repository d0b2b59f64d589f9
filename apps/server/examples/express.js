// An app of Express, unchanged: JSON, parameters, and its own 404 and error pages.

import express from 'express'
import { fromNodeListener } from '@x/server'

const app = express()
app.use(express.json())
app.get('/greetings/:name', (request, response) => {
  response.json({ greeting: `Hello, ${request.params.name}`, from: request.ip })
})
app.post('/sums', ({ body }, response) => {
  if (!Array.isArray(body)) throw new TypeError('send a list of numbers')
  response.json({ sum: body.reduce((sum, each) => sum + each, 0) })
})
app.use((error, _request, response, next) => {
  if (response.headersSent) next(error)
  else response.status(error.status ?? 422).json({ error: error.message })
})

export const { handle } = fromNodeListener(app)
