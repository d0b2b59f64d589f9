import { closeSync, constants, fstatSync, openSync, readSync, readlinkSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileBody, methodNotAllowed } from '@x/http1'
import type { HttpRequest, ResponseLike } from '@x/http1'
import * as v from 'valibot'
import { codeOf } from '../../errors.ts'
import type { HandlerContext, HandlerModule } from '../../handler.ts'
import { issueLines } from '../../config/strict-object.ts'
import { parseByteRange } from './byte-range.ts'
import { contentType } from './content-type.ts'
import { evaluatePreconditions, httpDate, rangeStillApplies } from './preconditions.ts'
import { staticFilesOptions } from '../../config/static-files-options.ts'
import type { StaticFilesOptions } from '../../config/static-files-options.ts'

/** Files below this many bytes are read at once: that costs less than handing a descriptor on. */
const readAtOnce = 16 * 1024

interface OpenFile {
  descriptor: number
  size: number
  modified: number
  name: string
}

/** What a path leads to: a file that the caller must close, a folder named without its slash, or a refusal. */
type Found = OpenFile | 'folder' | 400 | 403 | 404 | 503

/**
 * Serves the files of a folder. Opening and reading are synchronous, as the files of a page's cache cost less
 * than a thread pool does. Containment is judged by the descriptor that was opened, so that no exchange of a
 * link between a check and its use can lead out of the folder.
 * @throws {Error} with one line for each wrong option, or that of realpath(3) for the folder.
 */
export function staticFiles(options: unknown): HandlerModule {
  const parsed = v.safeParse(staticFilesOptions, options)
  if (!parsed.success) throw new Error(issueLines(parsed.issues).join('; '))
  const root = realpathSync(parsed.output.folder)
  const files = new Folder(root, parsed.output)
  return { handle: (request, ctx) => respond(files, request, ctx) }
}

function respond(files: Folder, request: HttpRequest, ctx: HandlerContext): ResponseLike {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return methodNotAllowed(['GET', 'HEAD'])
  }
  const found = files.open(ctx.path)
  if (found === 'folder') return redirect(request, ctx)
  if (typeof found === 'number') return refusal(found, reasons[found])
  let handedOn = false
  try {
    const answer = represent(files, found, request)
    handedOn = answer.handedOn
    return answer.response
  } finally {
    if (!handedOn) closeSync(found.descriptor)
  }
}

class Folder {
  readonly options: StaticFilesOptions
  readonly #root: string
  readonly #inside: string

  constructor(root: string, options: StaticFilesOptions) {
    this.options = options
    this.#root = root
    this.#inside = root.endsWith(sep) ? root : root + sep
  }

  open(path: string): Found {
    const names = this.#decode(path)
    if (typeof names === 'number') return names
    const last = names.at(-1)
    if (last === '') names[names.length - 1] = this.options.index
    try {
      return this.#openFile(join(this.#root, ...names), last === '')
    } catch (error) {
      return statusOf(error)
    }
  }

  /** The names of a path's segments, each percent-decoded once; the last is '' for a folder. */
  #decode(path: string): string[] | 400 | 404 {
    if (path === '') return []
    try {
      const names = path.slice(1).split('/').map(decodeURIComponent)
      const served = names.every((name, index) => this.#serves(name, index === names.length - 1))
      return served ? names : 404
    } catch {
      return 400
    }
  }

  #serves(name: string, last: boolean): boolean {
    if (name === '') return last
    if (name === '.' || name === '..' || name.includes('/') || name.includes('\0')) return false
    return this.options.dotfiles || !name.startsWith('.')
  }

  #openFile(path: string, isIndex: boolean): Found {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    let found: Found = 404
    try {
      const real = readlinkSync(`/proc/self/fd/${descriptor}`)
      if (real !== this.#root && !real.startsWith(this.#inside)) return found
      const stats = fstatSync(descriptor)
      if (stats.isFile()) found = { descriptor, size: stats.size, modified: stats.mtimeMs, name: path }
      else if (stats.isDirectory() && !isIndex) found = 'folder'
      return found
    } finally {
      if (typeof found !== 'object') closeSync(descriptor)
    }
  }
}

function represent(
  files: Folder,
  file: OpenFile,
  request: HttpRequest,
): { response: ResponseLike; handedOn: boolean } {
  const etag = `W/"${file.size.toString(16)}-${Math.round(file.modified * 1000).toString(16)}"`
  const about = {
    etag,
    'last-modified': httpDate(file.modified),
    'cache-control': `public, max-age=${files.options.maxAge}`,
  }
  const outcome = evaluatePreconditions(
    {
      ifMatch: request.headers.get('if-match'),
      ifNoneMatch: request.headers.get('if-none-match'),
      ifModifiedSince: request.headers.get('if-modified-since'),
      ifUnmodifiedSince: request.headers.get('if-unmodified-since'),
    },
    { etag, modified: file.modified },
  )
  if (outcome === 'not-modified')
    return { response: { status: 304, headers: about, body: null }, handedOn: false }
  if (outcome === 'failed') return { response: refusal(412, 'the file is another one now'), handedOn: false }
  return content(file, request, about)
}

function content(
  file: OpenFile,
  request: HttpRequest,
  about: Record<string, string>,
): { response: ResponseLike; handedOn: boolean } {
  const range = requestedRange(file, request)
  if (range === 'unsatisfiable') {
    const headers = { ...plain, 'content-range': `bytes */${file.size}` }
    return { response: { ...refusal(416, 'the file has no such bytes'), headers }, handedOn: false }
  }
  const { offset, length } = range ?? { offset: 0, length: file.size }
  const headers: Record<string, string | number> = {
    'content-type': contentType(file.name),
    'content-length': length,
    'accept-ranges': 'bytes',
    'x-content-type-options': 'nosniff',
    ...about,
  }
  if (range !== undefined) headers['content-range'] = `bytes ${offset}-${offset + length - 1}/${file.size}`
  const status = range === undefined ? 200 : 206
  if (request.method === 'HEAD') return { response: { status, headers, body: null }, handedOn: false }
  if (length >= readAtOnce) {
    return { response: { status, headers, body: fileBody(file.descriptor, offset, length) }, handedOn: true }
  }
  const body = readAll(file.descriptor, offset, length)
  if (body.length < length) throw new Error(`${file.name} was cut while it was read; ask again`)
  return { response: { status, headers, body }, handedOn: false }
}

function requestedRange(file: OpenFile, request: HttpRequest): ReturnType<typeof parseByteRange> {
  if (request.method !== 'GET') return undefined
  if (!rangeStillApplies(request.headers.get('if-range'), file.modified, Date.now())) return undefined
  return parseByteRange(request.headers.get('range'), file.size)
}

function readAll(descriptor: number, offset: number, length: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(descriptor, bytes, filled, length - filled, offset + filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

function redirect(request: HttpRequest, ctx: HandlerContext): ResponseLike {
  const path = (ctx.mountPath === '/' ? '' : ctx.mountPath) + ctx.path
  const location = `${path}/${request.query === undefined ? '' : `?${request.query}`}`
  return { ...refusal(301, `it is at ${location}`), headers: { ...plain, location } }
}

const plain = { 'content-type': 'text/plain; charset=utf-8' }

const reasons = {
  400: 'the path is not well-formed percent-encoding of UTF-8',
  403: 'the server may not read it',
  404: 'there is no such file',
  503: 'the server has no descriptor left; try again',
} as const

function refusal(status: number, reason: string): ResponseLike {
  return { status, headers: plain, body: `${status}: ${reason}\n` }
}

function statusOf(error: unknown): 403 | 404 | 503 {
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
    case 'ENXIO':
    case 'ENODEV':
      return 404
    case 'EACCES':
    case 'EPERM':
      return 403
    case 'EMFILE':
    case 'ENFILE':
      return 503
    default:
      throw error
  }
}
