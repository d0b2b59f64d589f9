// The server of uWebSockets.js, from where the environment says it is. Arguments: PORT FOLDER.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { bodies, lastPath } from './bodies.js'

/**
 * @typedef {{ writeHeader: (name: string, value: string) => Response, end: (body: string | Uint8Array) => void }} Response
 * @typedef {{ get: (path: string, handler: (response: Response) => void) => App, listen: (host: string, port: number, done: (listening: unknown) => void) => void }} App
 */

const [, , port = '', folder = ''] = process.argv
const { App } = /** @type {{ App: () => App }} */ (createRequire(import.meta.url)(join(folder, 'uws.js')))

const app = App()
for (const [path, body] of bodies) {
  app.get(path, (response) => {
    response.writeHeader('content-type', 'text/plain')
    // It closes when the client asks for that, but does not say so, and wrk goes by what the answer says.
    if (path === lastPath) response.writeHeader('connection', 'close')
    response.end(body)
  })
}
app.listen('127.0.0.1', Number(port), (listening) => {
  if (!listening) throw new Error(`uWebSockets.js cannot listen at port ${port}`)
})
