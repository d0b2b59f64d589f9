import type { Logger } from 'pino'
import type { ConfigOverrides } from '../config.ts'
import { loadConfig } from '../config.ts'
import { checkHandlers } from '../handler-module.ts'
import { createLog } from '../log.ts'
import type { RunningServer } from '../running-server.ts'
import { startServer } from '../supervisor.ts'

/** Exit code of a process that a SIGINT ended, as shells count it. */
const interrupted = 130

/**
 * Runs the server until it is stopped, or only checks what it would run.
 * @returns the exit code.
 */
export async function runServer(command: {
  config: string | undefined
  overrides: ConfigOverrides
  check: boolean
}): Promise<number> {
  const config = loadConfig(command.config, command.overrides)
  await checkHandlers(config.mounts)
  if (command.check) {
    process.stdout.write(`${config.file ?? 'The built-in configuration'} is sound.\n`)
    return 0
  }
  const log = createLog(config.log.level)
  const server = await startServer(config, log)
  stopBySignal(server, log)
  return server.closed
}

function stopBySignal(server: RunningServer, log: Logger): void {
  let interrupts = 0
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, 'stopping: requests in progress may end')
    server.stop().catch((error: unknown) => {
      log.error({ err: error }, 'the stop failed')
    })
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', (signal) => {
    interrupts++
    if (interrupts === 1) {
      stop(signal)
      return
    }
    server.kill()
    process.exit(interrupted)
  })
}
