import { binding, type NativeAddress } from './binding.ts'
import { type Http1Error, optionError, systemError } from './errors.ts'

export interface ListenOptions {
  /** An IPv4 or IPv6 address; without one, all addresses of the machine. Names are not resolved. */
  readonly host?: string
  /** 0 lets the kernel choose. */
  readonly port?: number
  /** Instead of host and port: the path of a Unix socket. The file is not removed by close(). */
  readonly path?: string
  /** Connections that wait for accept(); the kernel caps it at net.core.somaxconn. Default 511. */
  readonly backlog?: number
  /** SO_REUSEPORT: several sockets may listen on the port. */
  readonly reusePort?: boolean
}

export interface ListenAddress {
  readonly address: string
  readonly port: number
  readonly family: 'IPv4' | 'IPv6' | 'unix'
}

const known = new Set(['host', 'port', 'path', 'backlog', 'reusePort'])
const families = { 0: 'unix', 4: 'IPv4', 6: 'IPv6' } as const

/** A listening socket: non-blocking, CLOEXEC. It accepts nothing by itself; see Engine.accept(). */
export class Listener {
  #descriptor: number
  readonly #address: ListenAddress

  constructor(descriptor: number) {
    this.#descriptor = descriptor
    this.#address = addressOf(descriptor)
  }

  /** The number to watch for readiness. EBADF after close(). */
  get descriptor(): number {
    if (this.#descriptor < 0) throw systemError('listen', -9, '. The listener has been closed.')
    return this.#descriptor
  }

  get port(): number {
    return this.#address.port
  }

  address(): ListenAddress {
    return this.#address
  }

  /** Closes the socket; connections that were accepted live on. Remove it from every queue first. */
  close(): void {
    if (this.#descriptor < 0) return
    binding.closeDescriptor(this.#descriptor)
    this.#descriptor = -1
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function addressOf(descriptor: number): ListenAddress {
  const found = binding.localAddress(descriptor)
  if ('errno' in found) throw systemError(found.syscall, found.errno)
  return toAddress(found)
}

/** An address as people read it. */
export function toAddress(native: NativeAddress): ListenAddress {
  return { address: native.host, port: native.port, family: families[native.family] }
}

function validate(options: ListenOptions): void {
  const unknown = Object.keys(options).find((name) => !known.has(name))
  if (unknown !== undefined) throw optionError(`listen() has no option ${unknown}.`)
  if (options.path !== undefined) {
    if (options.path === '') throw optionError('The path of a Unix socket is not empty.')
    if (options.port !== undefined || options.host !== undefined) {
      throw optionError('listen() takes a path, or a host and a port.')
    }
    return
  }
  if (!Number.isInteger(options.port) || Number(options.port) < 0 || Number(options.port) > 65535) {
    throw optionError(`The port is a whole number from 0 to 65535, not ${String(options.port)}.`)
  }
  if (options.backlog !== undefined && !(Number.isInteger(options.backlog) && options.backlog > 0)) {
    throw optionError(`The backlog is a whole number above 0, not ${options.backlog}.`)
  }
}

function explain(syscall: string, errno: number, options: ListenOptions): Http1Error {
  const place = options.path ?? `port ${options.port ?? 0}`
  const advice: Partial<Record<number, string>> = {
    [-98]:
      options.path === undefined
        ? `. Another process listens on ${place}; find it with: ss -ltnp 'sport = :${options.port ?? 0}'`
        : `. ${place} exists already; remove it when no server uses it.`,
    [-13]:
      options.path === undefined
        ? `. Ports below 1024 need a privilege; give it with: setcap cap_net_bind_service=+ep "$(which node)", ` +
          'choose a higher port, or let systemd pass the socket.'
        : `. The folder of ${place} must be writable.`,
    [-22]: `. The host is an address such as 127.0.0.1 or ::1, not ${options.host ?? ''}.`,
    [-99]: `. No interface of this machine has the address ${options.host ?? ''}.`,
  }
  return systemError(syscall, errno, advice[errno])
}

/**
 * Makes a listening socket. Throws EADDRINUSE, EACCES, EADDRNOTAVAIL, EINVAL for a host that is not an address,
 * and ERR_HTTP_OPTION for options that are unknown or out of range.
 */
export function listen(options: ListenOptions): Listener {
  validate(options)
  const open = (host: string): ReturnType<typeof binding.listen> =>
    binding.listen(
      host,
      options.port ?? 0,
      options.path ?? '',
      options.backlog ?? 511,
      options.reusePort ? 1 : 0,
    )
  let result = open(options.host ?? '')
  const withoutIPv6 = typeof result === 'object' && result.syscall === 'socket' && result.errno === -97
  if (withoutIPv6 && options.host === undefined && options.path === undefined) result = open('0.0.0.0')
  if (typeof result === 'object') throw explain(result.syscall, result.errno, options)
  return new Listener(result)
}

/** A listener from a descriptor that was inherited or received; the Listener owns it from now on. */
export function adoptListener(descriptor: number): Listener {
  return new Listener(descriptor)
}
