import { isIPv4, isIPv6 } from 'node:net'
import { MountTableError } from './errors.ts'

/** RFC 1035 section 2.3.4, without the dot at the end. */
export const LONGEST_HOST = 253

const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`)

/** Compared hosts are lower-case and have no port and no dot at their end; addresses are written in one way. */
export function canonicalHost(host: string): string {
  if (host.startsWith('[')) return canonicalAddress(host.slice(0, host.indexOf(']') + 1))
  const end = host.indexOf(':')
  const name = end === -1 ? host : host.slice(0, end)
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase()
}

/** RFC 5952, of an IPv6 address in brackets; what is none stays as it is. */
function canonicalAddress(bracketed: string): string {
  return isIPv6(bracketed.slice(1, -1)) && !bracketed.includes('%')
    ? new URL(`http://${bracketed}`).hostname
    : bracketed.toLowerCase()
}

/**
 * The host that a mount is for, in the form in which hosts are compared: a name, an address (IPv6 in brackets), or
 * `*.` and a name, which is every name below it.
 *
 * @throws MountTableError ERR_MOUNT_HOST when no request can be for it.
 */
export function checkHost(syscall: string, host: unknown): string {
  const refuse = (why: string): MountTableError =>
    new MountTableError('ERR_MOUNT_HOST', syscall, `${why}: ${String(host).slice(0, 80)}`)
  if (typeof host !== 'string') throw refuse('a host is a string')
  if (isIPv6(host)) throw refuse('an IPv6 address is written in brackets')
  if (host.startsWith('[')) {
    if (isIPv6(host.slice(1, -1)) && host.endsWith(']') && !host.includes('%')) return canonicalAddress(host)
    throw refuse('brackets hold an IPv6 address without a zone, and nothing follows them')
  }
  if (host.includes(':')) throw refuse('a host is written without a port; a mount serves all ports')
  const wild = host.startsWith('*.')
  const name = canonicalHost(wild ? host.slice(2) : host)
  if (name.includes('*')) throw refuse('an asterisk is the whole first label, as in *.example.org')
  if (!NAME.test(name))
    throw refuse('a host has labels of letters, digits, - and _; others are written as xn--')
  if (name.length > LONGEST_HOST) throw refuse(`a host has at most ${LONGEST_HOST} characters`)
  if (wild && isIPv4(name)) throw refuse('there is nothing below an address')
  return wild ? `*.${name}` : name
}
