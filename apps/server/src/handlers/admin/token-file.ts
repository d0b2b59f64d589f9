import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs'
import { messageOf } from '../../errors.ts'

const LEAST = 16
const MOST = 4096
const OTHERS = 0o077

/**
 * The token in a file, which nobody but the server's user may read or write.
 * @throws {Error} that says what to do about the file.
 */
export function readToken(path: string): string {
  let descriptor: number
  try {
    // Whoever opens a FIFO would wait for its writer otherwise.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw new Error(
      `tokenFile: ${path} cannot be read (${messageOf(error)}); make one: (umask 077; openssl rand -base64 24 > ${path})`,
      { cause: error },
    )
  }
  try {
    // Of the file that is open, whatever the name is given to meanwhile.
    refuseUnlessPrivate(path, fstatSync(descriptor))
    return checked(path, readFileSync(descriptor, 'utf8'))
  } finally {
    closeSync(descriptor)
  }
}

function refuseUnlessPrivate(path: string, stats: Stats): void {
  if (!stats.isFile()) throw new Error(`tokenFile: ${path} is not a regular file; name one`)
  const user = process.geteuid?.()
  if (stats.uid !== user) {
    throw new Error(
      `tokenFile: ${path} belongs to user ${stats.uid}, and the server runs as ${user}: chown ${user} ${path}`,
    )
  }
  const mode = stats.mode & 0o777
  if ((mode & OTHERS) !== 0) {
    const shown = mode.toString(8)
    throw new Error(
      `tokenFile: others have access to ${path} (mode ${shown}): chmod 600 ${path}, and write a new token`,
    )
  }
  if (stats.size > MOST) throw new Error(`tokenFile: ${path} has more than ${MOST} bytes; write one line`)
}

function checked(path: string, content: string): string {
  const token = content.replace(/\r?\n$/u, '')
  if (!/^[\x21-\x7e]*$/u.test(token)) {
    throw new Error(
      `tokenFile: ${path} is not one line of printable ASCII without spaces: openssl rand -base64 24 > ${path}`,
    )
  }
  if (token.length < LEAST) {
    throw new Error(
      `tokenFile: the token in ${path} has ${token.length} characters and needs ${LEAST}: openssl rand -base64 24 > ${path}`,
    )
  }
  return token
}
