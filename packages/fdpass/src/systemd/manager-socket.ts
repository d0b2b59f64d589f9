import { EAFNOSUPPORT } from '../errno.ts'
import { FdPassError } from '../errors.ts'
import { numberOf, type FdLike } from '../fd.ts'
import { FdSocket, type SendOptions, type SendSyncOptions } from '../fd-socket.ts'
import { fileFlagsOf } from '../file-flags.ts'
import { invalid } from '../options.ts'
import { unsetVariables } from './environment.ts'

const VARIABLE = 'NOTIFY_SOCKET'

/** The name of the manager's socket; undefined when no manager wants to hear of this process. */
function managerName(syscall: string): string | undefined {
  const name = process.env[VARIABLE]
  if (name === undefined) return undefined
  if (/^\/[^\0]/.test(name)) return name
  if (/^@./s.test(name)) return `\0${name.slice(1)}`
  if (!name.startsWith('vsock')) {
    throw invalid(
      syscall,
      `$${VARIABLE} is ${JSON.stringify(name)}: neither a path nor @ and an abstract name`,
    )
  }
  throw new FdPassError(EAFNOSUPPORT, syscall, {
    detail: `$${VARIABLE} is ${name}: only Unix sockets are served; systemd-notify(1) speaks to others`,
  })
}

/** Descriptors that are to go along. Throws FdPassError EBADF when one is not open. */
export function openNumbers(fds: Iterable<FdLike>, syscall: string): number[] {
  return Array.from(fds, (fd) => {
    const number = numberOf(fd, syscall)
    fileFlagsOf(number, syscall)
    return number
  })
}

/**
 * The way to the manager. It is open for as long as somebody has it, and whoever comes meanwhile has the same one: so
 * messages that wait for room in the manager's queue go in the order of the calls.
 */
export class ManagerSocket implements Disposable {
  static #current: ManagerSocket | undefined
  readonly #name: string
  readonly #socket: FdSocket
  #users = 0

  private constructor(name: string) {
    this.#name = name
    this.#socket = FdSocket.connectSync(name, { type: 'dgram' })
  }

  /** Undefined when there is no manager. Throws FdPassError as FdSocket.connectSync does, EINVAL, EAFNOSUPPORT. */
  static open(unset: boolean, syscall: string): ManagerSocket | undefined {
    try {
      const name = managerName(syscall)
      if (name === undefined) return undefined
      let socket = ManagerSocket.#current
      if (socket === undefined || socket.#name !== name) socket = new ManagerSocket(name)
      ManagerSocket.#current = socket
      socket.#users++
      return socket
    } finally {
      if (unset) unsetVariables([VARIABLE])
    }
  }

  send(message: Uint8Array | string, fds: readonly FdLike[], options: SendOptions): Promise<void> {
    return this.#socket.send(message, fds, options)
  }

  sendSync(message: Uint8Array | string, fds: readonly FdLike[], options: SendSyncOptions): void {
    this.#socket.sendSync(message, fds, options)
  }

  /** Lets go of it; once for each time that it was opened. */
  [Symbol.dispose](): void {
    if (--this.#users > 0) return
    if (ManagerSocket.#current === this) ManagerSocket.#current = undefined
    this.#socket.close()
  }
}
