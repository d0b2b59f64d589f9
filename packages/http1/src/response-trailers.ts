import { responseError } from './errors.ts'
import { checkName, lineText, MOST_HEADER_BYTES } from './header-lines.ts'
import type { LaterTrailers, ResponseHeaders, ResponseTrailers, TrailerFields } from './response.ts'
import { mayBeTrailer } from './trailers.ts'

/** The lines of what is known already, checked; or what they will come from. Throws ERR_HTTP_RESPONSE. */
export function knownLines(trailers: ResponseTrailers): string | LaterTrailers {
  return isLater(trailers) ? trailers : linesOf(trailers)
}

/** The lines, when they are known. Throws ERR_HTTP_RESPONSE, and what the handler's own part throws. */
export async function finalLines(trailers: string | LaterTrailers): Promise<string> {
  if (typeof trailers === 'string') return trailers
  const fields = await (typeof trailers === 'function' ? trailers() : trailers)
  return fields === undefined ? '' : linesOf(fields)
}

/** Takes note of a promise that perhaps nobody will wait for: the body may break off, or have a length. */
export function expectTrailers(trailers: ResponseTrailers): void {
  if (isPromise(trailers)) trailers.then(undefined, ignore)
}

function linesOf(fields: ResponseHeaders): string {
  if (typeof fields !== 'object' || (fields as unknown) === null) {
    throw responseError(
      'The trailers of a response are fields as headers are, a promise of them, or a function.',
    )
  }
  let lines = ''
  for (const [name, value] of pairsOf(fields)) {
    checkName(name)
    if (!mayBeTrailer(name)) {
      throw responseError(
        `The field ${name} must not be a trailer (RFC 9110 section 6.5.1): send it as a header.`,
      )
    }
    lines += lineText(name, value)
  }
  if (lines.length > MOST_HEADER_BYTES) {
    throw responseError(`The response has more than ${MOST_HEADER_BYTES} bytes of trailers.`)
  }
  return lines
}

function* pairsOf(fields: ResponseHeaders): Generator<readonly [name: string, value: string]> {
  if (Symbol.iterator in fields) {
    yield* fields
    return
  }
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') yield [name, value]
    else if (typeof value === 'number') yield [name, String(value)]
    else if (Array.isArray(value)) for (const one of value as readonly string[]) yield [name, one]
    else throw responseError(`The value of the trailer ${name} is a string, a number or a list of strings.`)
  }
}

function isLater(trailers: ResponseTrailers): trailers is LaterTrailers {
  return typeof trailers === 'function' || isPromise(trailers)
}

function isPromise(trailers: ResponseTrailers): trailers is PromiseLike<TrailerFields> {
  return typeof (trailers as Partial<PromiseLike<TrailerFields>> | null)?.then === 'function'
}

function ignore(): void {
  // Who waits for it is told by his own promise.
}
