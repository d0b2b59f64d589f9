import { spawn, type ChildProcess } from 'node:child_process'
import type { Logger } from 'pino'
import { checkConfiguration } from '../check/check-configuration.ts'
import type { Config, ConfigOverrides } from '../config/config.ts'
import { loadConfig } from '../config/config.ts'
import { checkHandlers } from '../handlers/handler-module.ts'
import { createLog } from '../log.ts'
import type { RunningServer } from '../supervisor/running-server.ts'
import { startServer } from '../supervisor/supervisor.ts'

/** Exit code of a process that a SIGINT ended, as shells count it. */
const interrupted = 130

/**
 * Runs the server until it is stopped.
 * @returns the exit code.
 */
export async function runServer(command: {
  config: string | undefined
  overrides: ConfigOverrides
  takeOver: boolean
}): Promise<number> {
  const config = loadConfig(command.config, command.overrides)
  await checkHandlers(config.mounts)
  const log = createLog(config.log.level)
  const readAgain = (): Promise<Config> => checkConfiguration(config.file, command.overrides)
  const options = { takeOver: command.takeOver, spawnSuccessor, readAgain }
  return serveUntilStopped(startServer(config, log, options), log)
}

/** The same program with the same arguments, as it is on disk by now. Its log goes where this one's goes. */
function spawnSuccessor(): ChildProcess {
  const [, program = '', ...given] = process.argv
  const args = given.filter((argument) => argument !== '--take-over')
  const successor: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, program, ...args, '--take-over'],
    // The watchdog is to be fed by whoever serves.
    {
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, WATCHDOG_PID: undefined },
    },
  )
  successor.unref()
  return successor
}

/** Signals count from the start on: one that comes before the server is up stops it once it is. */
async function serveUntilStopped(starting: Promise<RunningServer>, log: Logger): Promise<number> {
  let server: RunningServer | undefined = undefined
  let interrupts = 0
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, 'stopping: requests in progress may end')
    starting
      .then((started) => started.stop())
      .catch((error: unknown) => {
        log.error({ err: error }, 'the stop failed')
      })
  }
  process.on('SIGTERM', stop)
  process.on('SIGQUIT', () => {
    server?.kill()
    process.exit(1)
  })
  // A failure of either is in the log.
  process.on('SIGUSR2', () => void starting.then((started) => started.restart()).catch(() => undefined))
  process.on('SIGHUP', () => void starting.then((started) => started.reload()).catch(() => undefined))
  process.on('SIGINT', (signal) => {
    interrupts++
    if (interrupts === 1) {
      stop(signal)
      return
    }
    server?.kill()
    process.exit(interrupted)
  })
  server = await starting
  return server.closed
}
