import type { FileBody, HttpRequest, ResponseLike } from '@x/http1'
import type { MountInfo } from '@x/mounttable'
import { once } from 'node:events'
import { readSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { HandlerContext, HandlerModule, MountSpec } from '../src/handler.ts'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

export interface Surroundings {
  mounts?: () => MountInfo<MountSpec>[]
  counters?: () => Record<string, number>
}

/** A handler at a mount path of a server of Node's, so that it answers to a real client. */
export class ServedHandler implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(
    module: HandlerModule,
    mountPath = '/',
    surroundings: Surroundings = {},
  ): Promise<ServedHandler> {
    const server = createServer((request, response) => {
      answer(module, mountPath, surroundings, request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error))
      })
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return new ServedHandler(server)
  }

  async ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
    const { port } = this.#server.address() as AddressInfo
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false })
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }
}

async function answer(
  module: HandlerModule,
  mountPath: string,
  { mounts = () => [], counters = () => ({}) }: Surroundings,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const [path = '', query] = (incoming.url ?? '').split(/\?(.*)/su)
  const ignore = (): undefined => undefined
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const ctx: HandlerContext = {
    mountPath,
    path: mountPath === '/' ? path : path.slice(mountPath.length),
    generation: 1,
    worker: 0,
    options: undefined,
    log,
    mounts,
    mountsNow: () => Promise.resolve(mounts()),
    health: () => ({ ready: true, state: 'running', workers: 1 }),
    counters,
  }
  const request = {
    method: incoming.method ?? '',
    query,
    headers: { get: (name: string) => incoming.headers[name]?.toString() },
  } as HttpRequest
  const { status = 200, headers = {}, body }: ResponseLike = await module.handle(request, ctx)
  outgoing.writeHead(status, headers as Record<string, string>)
  outgoing.end(bytesOf(body))
}

function bytesOf(body: ResponseLike['body']): string | Uint8Array {
  if (body === undefined || body === null) return ''
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  using file = body as FileBody
  const bytes = Buffer.alloc(file.length)
  return bytes.subarray(0, readSync(file.descriptor, bytes, 0, file.length, file.offset))
}
