/** What a representation is compared by. */
export interface Validators {
  /** A weak entity tag, with its quotes. */
  etag: string
  /** Milliseconds since the epoch. */
  modified: number
}

/** The fields of a request that make it conditional; undefined where it has no such field. */
export interface ConditionalFields {
  ifMatch: string | undefined
  ifNoneMatch: string | undefined
  ifModifiedSince: string | undefined
  ifUnmodifiedSince: string | undefined
}

/** Evaluates the preconditions of a GET or HEAD in the order of RFC 9110, section 13.2.2. */
export function evaluatePreconditions(
  fields: ConditionalFields,
  validators: Validators,
): 'proceed' | 'not-modified' | 'failed' {
  if (fields.ifMatch !== undefined) {
    // If-Match compares strongly, and a weak tag is never strongly equal to anything (section 8.8.3.2).
    if (fields.ifMatch.trim() !== '*') return 'failed'
  } else if (modifiedAfter(fields.ifUnmodifiedSince, validators.modified) === true) {
    return 'failed'
  }
  if (fields.ifNoneMatch !== undefined) {
    return matchesWeakly(fields.ifNoneMatch, validators.etag) ? 'not-modified' : 'proceed'
  }
  return modifiedAfter(fields.ifModifiedSince, validators.modified) === false ? 'not-modified' : 'proceed'
}

/**
 * Whether a Range field counts beside this If-Range: only if its date is exactly the file's, and that a strong
 * validator because the file was last changed well before now (RFC 9110, sections 8.8.2.2 and 13.1.5).
 */
export function rangeStillApplies(ifRange: string | undefined, modified: number, now: number): boolean {
  if (ifRange === undefined) return true
  return ifRange.trim() === httpDate(modified) && now - modified >= 2000
}

/** RFC 9110's preferred form of a date, whole seconds. */
export function httpDate(milliseconds: number): string {
  return new Date(milliseconds).toUTCString()
}

function matchesWeakly(list: string, etag: string): boolean {
  if (list.trim() === '*') return true
  const opaque = etag.replace(/^W\//u, '')
  return [...list.matchAll(/(?:W\/)?("[^"]*")/gu)].some((match) => match[1] === opaque)
}

/** Undefined when there is no date or it is not one: such a field is ignored. */
function modifiedAfter(date: string | undefined, modified: number): boolean | undefined {
  if (date === undefined || !/^[A-Z][a-z]{2,8},? /u.test(date)) return undefined
  // The obsolete asctime form names no zone and means GMT as the others do (section 5.6.7).
  const time = Date.parse(date.endsWith('GMT') ? date : `${date} GMT`)
  return Number.isNaN(time) ? undefined : Math.floor(modified / 1000) * 1000 > time
}
