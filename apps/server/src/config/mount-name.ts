import * as v from 'valibot'
import { show } from './strict-object.ts'

/** Longest prefix that a mount may have, in UTF-8 bytes. */
const longestPrefix = 512

function prefixProblem(prefix: string): string | undefined {
  if (!prefix.startsWith('/')) return `start it with a slash, as in ${show(`/${prefix}`)}`
  if (Buffer.byteLength(prefix) > longestPrefix) return `use at most ${longestPrefix} bytes`
  if (/[?#\s\p{Cc}]/u.test(prefix)) return 'leave out ?, # and spaces: only the path of a request is compared'
  if (/%(?![0-9a-f]{2})/iu.test(prefix)) return 'write two hexadecimal digits after each %'
  if (prefix !== '/' && prefix.endsWith('/'))
    return `leave out the last slash, as in ${show(prefix.slice(0, -1))}`
  if (prefix.includes('//')) return 'write single slashes'
  if (prefix.split('/').some((segment) => segment === '.' || segment === '..'))
    return 'write it without . and ..'
  return undefined
}

/** The path prefix of a mount: whole segments, as in `/` or `/api/v1`. */
export const prefixSchema: v.GenericSchema<unknown, string> = v.pipe(
  v.string((issue) => `${show(issue.input)} is not a path prefix; write a text such as "/api"`),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const remedy = prefixProblem(dataset.value)
    if (remedy !== undefined) addIssue({ message: `${show(dataset.value)} is not a path prefix; ${remedy}` })
  }),
)

/**
 * The host that a mount answers for, without a port, in lower case: hosts are compared without case. `*.` before a
 * name stands for all names below it.
 */
export const hostSchema: v.GenericSchema<unknown, string> = v.pipe(
  v.string((issue) => `${show(issue.input)} is not a host name; write a text such as "example.org"`),
  v.regex(
    /^(?:(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])$/iu,
    (issue) => `${show(issue.input)} is not a host name; write it without a port, as in "example.org"`,
  ),
  v.transform((host) => host.toLowerCase()),
)

/** What a person reads for a mount: the host, if it has one, and the prefix. */
export function mountName(prefix: string, host?: string): string {
  return `${host ?? ''}${prefix}`
}
