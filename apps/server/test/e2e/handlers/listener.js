// A listener of node:http with a route for each thing that one may do.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fromNodeListener } from '@x/server'

const seen = { drains: 0, pressed: 0, closed: 0, finished: 0, aborted: 0, untaken: 0, errors: [] }
const piece = Buffer.alloc(64 * 1024, 'x')

const routes = {
  '/request'(request, response) {
    const { method, url, originalUrl, baseUrl, httpVersion, headers, socket } = request
    const { remoteAddress, remoteFamily, remotePort } = socket
    const client = { remoteAddress, remoteFamily, hasPort: remotePort > 0 }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method, url, originalUrl, baseUrl, httpVersion, headers, client }))
  },
  '/fields'(_request, response) {
    response.setHeader('Set-Cookie', ['a=1', 'b=2'])
    response.setHeader('X-Overridden', 'old')
    response.writeHead(201, 'Made', { 'X-Number': 7, 'x-overridden': 'new', 'Keep-Alive': 'timeout=5' })
    response.end()
  },
  '/pairs'(_request, response) {
    response.writeHead(200, ['X-A', '1', 'X-A', '2']).end('pairs', 'latin1')
  },
  '/encoded'(_request, response) {
    response.end('68616c6c6f', 'hex')
  },
  '/close'(_request, response) {
    response.setHeader('Connection', 'close').end('bye')
  },
  async '/upload'(request, response) {
    const hash = createHash('sha256')
    for await (const bytes of request) hash.update(bytes)
    response.end(hash.digest('hex'))
  },
  async '/trailers'(request, response) {
    const early = [request.complete, request.trailers, request.rawTrailers]
    await once(request.resume(), 'end')
    const { complete, trailers, rawTrailers, headers } = request
    response.end(JSON.stringify({ early, complete, trailers, rawTrailers, headers }))
  },
  '/echo'(request, response) {
    request.pipe(response)
  },
  async '/download'(_request, response) {
    response.on('drain', () => seen.drains++)
    for (let at = 0; at < 256; at++) {
      if (response.write(piece)) continue
      if (response.writableNeedDrain) seen.pressed++
      await once(response, 'drain')
    }
    response.end('end')
  },
  async '/pipeline'(_request, response) {
    response.setHeader('content-length', 16 * piece.length)
    await pipeline(Readable.from(Array.from({ length: 16 }, () => piece)), response)
    seen.finished++
  },
  async '/flush'(request, response) {
    response.setHeader('x-first', 'head')
    response.flushHeaders()
    await once(request.resume(), 'end')
    response.end('body')
  },
  '/empty'(_request, response) {
    response.writeHead(204).end()
  },
  async '/endless'(request, response) {
    request.on('aborted', () => seen.aborted++)
    let goOn
    response.on('drain', () => goOn())
    response.on('close', () => {
      seen.closed++
      goOn?.()
    })
    while (!response.destroyed) {
      const told = (error) => error && seen.untaken++
      if (response.write(piece, told)) continue
      await new Promise((resolve) => {
        goOn = resolve
      })
    }
  },
  '/timeout'(request, response) {
    request.setTimeout(20, () => {
      response.writeHead(503).end('timed out')
    })
  },
  '/throws'() {
    throw new Error('thrown')
  },
  async '/rejects'() {
    await Promise.resolve()
    throw new Error('rejected')
  },
  '/throws-late'(_request, response) {
    response.writeHead(200)
    response.write('half')
    throw new Error('late')
  },
  '/throws-after'(_request, response) {
    response.end('whole')
    throw new Error('after')
  },
  '/destroys'(request) {
    request.socket.destroy()
  },
  '/twice'(_request, response) {
    response.on('error', ({ code }) => seen.errors.push(code))
    response.end('once')
    response.write('more')
    for (const act of [() => response.setHeader('a', 'b'), () => response.writeHead(200)]) {
      try {
        act()
      } catch ({ code }) {
        seen.errors.push(code)
      }
    }
  },
  '/sum'({ url }, response) {
    response.setHeader('trailer', 'x-sum')
    if (url.includes('length')) response.setHeader('content-length', 4)
    if (url.includes('pieces')) response.write('bo')
    response.addTrailers([
      ['X-Sum', '1 2'],
      ['X-Last', '\xe9'],
    ])
    response.end(url.includes('pieces') ? 'dy' : 'body')
  },
  '/added'(_request, response) {
    response.addTrailers({ 'x-sum': ['1', '2'], 'X-N': 5 })
    response.end('body')
  },
  '/announces'(_request, response) {
    response.setHeader('Trailer', 'x-sum').end('body')
  },
  '/wrong-trailers'(_request, response) {
    const refused = []
    const wrong = [{ 'Content-Type': 'a/b' }, { 'a b': 'c' }, { a: 'b\r\nc: d' }, [['Set-Cookie', 'a']]]
    for (const fields of wrong) {
      try {
        response.addTrailers(fields)
      } catch (error) {
        refused.push(error.code ?? error.name)
      }
    }
    response.end(JSON.stringify(refused))
  },
  '/informs'(_request, response) {
    response.writeContinue()
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.writeProcessing()
    response.setHeader('trailer', 'x-sum')
    response.write('a')
    response.addTrailers({ 'x-sum': '1' })
    response.end('b')
  },
  '/state'(_request, response) {
    const states = []
    const note = () => {
      const { headersSent, writableEnded, writableFinished, destroyed } = response
      states.push([headersSent, writableEnded, writableFinished, destroyed])
    }
    note()
    response.write('a')
    note()
    response.once('finish', note)
    response.once('close', () => {
      note()
      seen.states = states
    })
    response.end()
    note()
  },
  '/seen'(_request, response) {
    response.end(JSON.stringify(seen))
  },
}

export const { handle } = fromNodeListener((request, response) => {
  const route = routes[request.url.split('?')[0]]
  if (route !== undefined) return route(request, response)
  response.writeHead(404, { 'content-type': 'text/plain' }).end('no such route')
})
