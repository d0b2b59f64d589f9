import { lstatSync, unlinkSync } from 'node:fs'
import { resolve } from 'node:path'
import { binding } from './binding.ts'
import { EADDRINUSE, ECONNREFUSED } from './errno.ts'
import { FdPassError } from './errors.ts'
import { checkCount, invalid } from './options.ts'
import { SOCK } from './socket-options.ts'

export interface BindOptions {
  /** Permissions of a path, as in chmod(2): they are there from the first moment. The umask decides, unless told. */
  mode?: number | undefined
  /**
   * Whether a path is taken over that a socket has left behind which is closed by now. Never one that somebody has, and
   * never anything but a socket.
   */
  replace?: boolean | undefined
  /** Whether the path is removed when the socket is closed: yes, unless told, if it is still this socket's. */
  unlink?: boolean | undefined
}

export const bindFields: readonly string[] = ['mode', 'replace', 'unlink']

/** Checks a name of a socket: a path, or one that begins with NUL, of the abstract name space. */
export function checkName(name: string, syscall: string): string {
  if (typeof name !== 'string' || name === '') {
    throw invalid(syscall, 'the name is a path, or begins with NUL in the abstract name space')
  }
  if (name.indexOf('\0', 1) > 0 && !name.startsWith('\0')) throw invalid(syscall, 'a path has no NUL in it')
  return name
}

/** The name that a socket was bound to. */
export class BoundName {
  readonly name: string
  readonly #path: string | undefined
  readonly #inode: string | undefined

  private constructor(name: string, unlink: boolean) {
    this.name = name
    if (name.startsWith('\0') || !unlink) return
    this.#path = resolve(name)
    this.#inode = inodeOf(this.#path)
  }

  static bind(socket: number, name: string, options: BindOptions): BoundName {
    checkName(name, 'bind')
    const mode = options.mode === undefined ? -1 : checkCount(options.mode, 'mode', 0o777, 'bind')
    for (const field of ['replace', 'unlink'] as const) {
      const value: unknown = options[field]
      if (value !== undefined && typeof value !== 'boolean') throw invalid('bind', `${field} is a boolean`)
    }
    let error = binding.bind(socket, name, mode)
    if (error === EADDRINUSE && options.replace === true && isLeftBehind(name)) {
      unlinkSync(name)
      error = binding.bind(socket, name, mode)
    }
    if (error < 0) throw new FdPassError(error, 'bind')
    return new BoundName(name, options.unlink ?? true)
  }

  /** Removes the path, unless it has become another file's. */
  remove(): void {
    if (this.#path === undefined || this.#inode === undefined || inodeOf(this.#path) !== this.#inode) return
    try {
      unlinkSync(this.#path)
    } catch {
      // Whoever closes has no right to it any more: the path stays, and nobody listens on it.
    }
  }
}

function inodeOf(path: string): string | undefined {
  const status = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return status?.isSocket() === true ? `${status.dev}:${status.ino}` : undefined
}

/**
 * Whether a path is a socket's that has gone. Then, and only then, a datagram socket that connects to it is refused;
 * and it makes no connection that whoever listens there would have to accept.
 */
function isLeftBehind(name: string): boolean {
  if (name.startsWith('\0') || inodeOf(name) === undefined) return false
  const socket = binding.socket(SOCK.dgram)
  if (socket < 0) throw new FdPassError(socket, 'socket')
  try {
    return binding.connect(socket, name) === ECONNREFUSED
  } finally {
    binding.close(socket)
  }
}
