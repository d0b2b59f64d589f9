import { bodies } from './bodies.js'

/**
 * The handler of node:http and node:cluster.
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 */
export const listener = (request, response) => {
  const body = bodies.get(request.url ?? '')
  if (body === undefined) {
    response.writeHead(404).end()
    return
  }
  response.setHeader('content-type', 'text/plain')
  response.setHeader('content-length', body.length)
  response.end(body)
}

/** Idle connections have to live as long as they are measured; the default is 5 s. */
export const options = { keepAliveTimeout: 60_000 }
