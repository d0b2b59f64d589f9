import { MountTableError, type MountTableErrorCode } from './errors.ts'

/** Characters of a prefix, after escapes. */
const LONGEST_PREFIX = 2048

/** A request target taken apart: the canonical path and, of an absolute target, its host. */
export interface Target {
  readonly path: string
  readonly host: string | undefined
}

const ESCAPE = /%([0-9a-f]{2})/gi
const UNRESERVED = /^[A-Za-z0-9\-._~]$/
const NOT_ASCII = /[^\0-\x7f]+/gu
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?@]*@)?([^/?]*)/i

/**
 * Writes equal characters in one way (RFC 3986 section 6.2.2): escapes of unreserved characters become the
 * characters, other escapes get upper-case digits, and what is not ASCII becomes escapes of its UTF-8. So an
 * escaped slash stays an escape, and an escaped dot is a dot.
 *
 * @throws URIError on half a surrogate pair.
 */
function canonicalEscapes(text: string): string {
  return text.replace(NOT_ASCII, encodeURIComponent).replace(ESCAPE, (escape, digits: string) => {
    const character = String.fromCharCode(Number.parseInt(digits, 16))
    return UNRESERVED.test(character) ? character : escape.toUpperCase()
  })
}

/** Merges slashes and resolves dot segments; undefined when a `..` would climb above the root. */
function resolveSegments(path: string): string | undefined {
  const segments = path.split('/')
  const kept: string[] = []
  for (const segment of segments) {
    if (segment === '..') {
      if (kept.pop() === undefined) return undefined
    } else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const last = segments.at(-1)
  const directory = (last === '' || last === '.' || last === '..') && kept.length > 0
  return `/${kept.join('/')}${directory ? '/' : ''}`
}

/**
 * The canonical form of a request target (RFC 9112 section 3.2) that may be anything: origin form with a query,
 * absolute form, `*`, or nonsense. Undefined when no path can be found in it.
 *
 * @throws MountTableError ERR_MOUNT_TARGET when it climbs above the root or is not well-formed Unicode.
 */
export function resolveTarget(target: string): Target | undefined {
  const absolute = ABSOLUTE.exec(target)
  const rest = absolute === null ? target : target.slice(absolute[0].length)
  const query = rest.indexOf('?')
  const path = query === -1 ? rest : rest.slice(0, query)
  if (path !== '' && !path.startsWith('/')) return undefined
  let resolved: string | undefined
  try {
    resolved = resolveSegments(canonicalEscapes(path))
  } catch {
    resolved = undefined
  }
  if (resolved === undefined) {
    throw new MountTableError(
      'ERR_MOUNT_TARGET',
      'lookup',
      'the target climbs above / or is not well-formed; answer 400',
    )
  }
  return { path: resolved, host: absolute?.[1] }
}

/**
 * The canonical form of a prefix: no slash at its end, so the root is the empty string.
 *
 * @throws MountTableError ERR_MOUNT_PREFIX when it cannot begin a path, ERR_MOUNT_PREFIX_EMPTY,
 *   ERR_MOUNT_PREFIX_LENGTH, ERR_MOUNT_PREFIX_FORM when it has to be resolved first.
 */
export function canonicalPrefix(syscall: string, prefix: unknown): string {
  const refuse = (why: string, code: MountTableErrorCode = 'ERR_MOUNT_PREFIX'): MountTableError =>
    new MountTableError(code, syscall, `${why}: ${String(prefix).slice(0, 80)}`)
  if (prefix === '') throw refuse('a prefix is not empty; / is the root', 'ERR_MOUNT_PREFIX_EMPTY')
  if (typeof prefix !== 'string' || !prefix.startsWith('/'))
    throw refuse('a prefix is a path that begins with /')
  if (/[?#\0-\x20\x7f]/.test(prefix))
    throw refuse('a prefix has no query, fragment, space or control character')
  if (/%(?![0-9a-f]{2})/i.test(prefix)) throw refuse('a prefix has an escape without two hexadecimal digits')
  let path: string
  try {
    path = canonicalEscapes(prefix)
  } catch {
    throw refuse('a prefix is well-formed Unicode')
  }
  if (path.length > LONGEST_PREFIX) {
    throw refuse(`a prefix has at most ${LONGEST_PREFIX} characters`, 'ERR_MOUNT_PREFIX_LENGTH')
  }
  const resolved = resolveSegments(path)
  if (resolved !== path) {
    const remedy = resolved === undefined ? '' : `; write ${resolved.slice(0, 80)}`
    throw refuse(`a prefix has no //, . or .. in it${remedy}`, 'ERR_MOUNT_PREFIX_FORM')
  }
  return path.endsWith('/') ? path.slice(0, -1) : path
}
