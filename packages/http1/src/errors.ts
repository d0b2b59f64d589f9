import { getSystemErrorMap } from 'node:util'

const brand = Symbol.for('@x/http1.Http1Error')

/** What went wrong besides the sentence. */
export interface Http1ErrorDetails {
  readonly code: string
  readonly errno?: number
  readonly syscall?: string
  readonly status?: number
  readonly cause?: unknown
}

/**
 * Every error of this package. `code` is a system error's name ('EADDRINUSE'), or one of ERR_HTTP_BODY_USED,
 * ERR_HTTP_BODY_TOO_LARGE, ERR_HTTP_BODY_MALFORMED, ERR_HTTP_BODY_TIMEOUT, ERR_HTTP_CLIENT_GONE,
 * ERR_HTTP_REQUEST_OVER, ERR_HTTP_ANSWERED, ERR_HTTP_RESPONSE, ERR_HTTP_OPTION.
 * `status` is the response that tells the client, where there is one.
 */
export class Http1Error extends Error {
  readonly code: string
  /** Negative, as Node's. */
  readonly errno: number | undefined
  readonly syscall: string | undefined
  readonly status: number | undefined

  constructor(message: string, details: Http1ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'Http1Error'
    this.code = details.code
    this.errno = details.errno
    this.syscall = details.syscall
    this.status = details.status
    Object.defineProperty(this, brand, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value
  }
}

/** An error of a system call; `advice` says what to do about it. */
export function systemError(syscall: string, errno: number, advice = ''): Http1Error {
  const [code, text] = getSystemErrorMap().get(errno) ?? [`E${-errno}`, 'unknown error']
  return new Http1Error(`${syscall}: ${code}, ${text}${advice}`, { code, errno, syscall })
}

/** A response that cannot be sent as it is; nothing of it has been sent. */
export function responseError(message: string): Http1Error {
  return new Http1Error(message, { code: 'ERR_HTTP_RESPONSE', status: 500 })
}

export function optionError(message: string): Http1Error {
  return new Http1Error(message, { code: 'ERR_HTTP_OPTION' })
}

export function clientGone(cause?: unknown): Http1Error {
  return new Http1Error('The client has closed the connection.', { code: 'ERR_HTTP_CLIENT_GONE', cause })
}
