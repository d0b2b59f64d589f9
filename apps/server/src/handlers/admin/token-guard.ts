import { createHash, timingSafeEqual } from 'node:crypto'

/** HTTP Basic authentication (RFC 7617) of whoever knows the token; the user name tells nothing. */
export class TokenGuard {
  static readonly challenge = 'Basic realm="x-server", charset="UTF-8"'
  readonly #expected: Buffer

  constructor(token: string) {
    this.#expected = digest(token)
  }

  /** Whether the Authorization field has the token as its password. Takes as long whatever is wrong in it. */
  admits(authorization: string | undefined): boolean {
    const [, encoded = ''] = /^basic +([A-Za-z0-9+/]+=*) *$/iu.exec(authorization ?? '') ?? []
    const credentials = Buffer.from(encoded, 'base64').toString('utf8')
    const colon = credentials.indexOf(':')
    // Digests have one length, so that the time tells nothing about the token's.
    return timingSafeEqual(digest(colon < 0 ? '' : credentials.slice(colon + 1)), this.#expected)
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
