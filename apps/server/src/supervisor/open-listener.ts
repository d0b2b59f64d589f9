import { listenFds } from '@x/fdpass'
import type { ListenFd } from '@x/fdpass'
import { adoptListener, listen } from '@x/http1'
import type { Listener } from '@x/http1'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../errors.ts'

/** What the service manager keeps our listener as, while the server is away. */
export const keptName = 'x-server-listener'

export interface OpenedListener {
  readonly listener: Listener
  /** It is this server's own and no socket unit's, so the service manager may keep it. */
  readonly keep: boolean
}

/**
 * The socket that a systemd socket unit passes, whatever the configuration says of an address; else the one that the
 * manager has kept for an earlier process, if it is at the configured address; else a new one.
 * @throws {ConfigError} for passed descriptors that are no single TCP listener. Errors of listen() as they are.
 */
export function openListener(config: Config): OpenedListener {
  const passed = listenFds()
  const kept = passed.filter(({ name }) => name === keptName)
  const activated = passed.filter((each) => !kept.includes(each))
  const [only, ...others] = activated
  if (only !== undefined) {
    for (const { fd } of kept) fd.close()
    if (others.length > 0 || only.fd.kind !== 'tcp-listener') throw refusal(activated)
    return { listener: adoptListener(only.fd.take()), keep: false }
  }
  const again = kept.map(({ fd }) => adoptListener(fd.take()))
  const fitting = again.find((listener) => isConfigured(listener, config))
  for (const listener of again) if (listener !== fitting) listener.close()
  return { listener: fitting ?? listen({ host: config.host, port: config.port }), keep: true }
}

function refusal(passed: readonly ListenFd[]): ConfigError {
  const list = passed.map(({ name, fd }) => `${name} (${fd.kind})`).join(', ')
  for (const { fd } of passed) fd.close()
  return new ConfigError([
    `the socket unit passes ${list}; give it one ListenStream= with an address and a port`,
  ])
}

function isConfigured(listener: Listener, { host, port }: Config): boolean {
  const { address, port: own } = listener.address()
  return address === host && (port === 0 || own === port)
}
