#!/usr/bin/env node
import { parseCommandLine } from './command-line/command-line.ts'
import type { Command } from './command-line/command-line.ts'
import type { CheckCommand } from './command-line/check.ts'
import { runHealth } from './command-line/health.ts'
import { runMetrics } from './command-line/metrics.ts'
import { runMount } from './command-line/mount.ts'
import { runMounts } from './command-line/mounts.ts'
import { runReload } from './command-line/reload.ts'
import { runReplace } from './command-line/replace.ts'
import { runRestart } from './command-line/restart.ts'
import { runStatus } from './command-line/status.ts'
import { runUnmount } from './command-line/unmount.ts'
import { UsageError, codeOf, messageOf } from './errors.ts'
import { helpText } from './command-line/help.ts'
import { version } from './version.ts'

async function run(command: Command): Promise<number> {
  switch (command.name) {
    case 'run': {
      if (command.check) return check({ ...command, json: false })
      // Loaded only here: the commands to a running server need nothing of it.
      const { runServer } = await import('./command-line/run.ts')
      return runServer(command)
    }
    case 'check':
      return check({ ...command, overrides: {} })
    case 'help':
      process.stdout.write(helpText(command.about))
      break
    case 'version':
      process.stdout.write(`${version}\n`)
      break
    case 'mounts':
      await runMounts(command)
      break
    case 'reload':
      await runReload(command)
      break
    case 'status':
      await runStatus(command)
      break
    case 'health':
      return runHealth(command)
    case 'metrics':
      await runMetrics(command)
      break
    case 'restart':
      await runRestart(command)
      break
    case 'mount':
      await runMount(command)
      break
    case 'replace':
      await runReplace(command)
      break
    case 'unmount':
      await runUnmount(command)
      break
  }
  return 0
}

async function check(command: CheckCommand): Promise<number> {
  const { runCheck } = await import('./command-line/check.ts')
  return runCheck(command)
}

/** Prints what went wrong as one block and tells the exit code for it. */
function fail(error: unknown): number {
  // Without a code it is a fault of this program, and its place is what helps.
  const known = codeOf(error) !== '' || error instanceof AggregateError
  const what = known || !(error instanceof Error) ? messageOf(error) : (error.stack ?? error.message)
  process.stderr.write(`x-server: ${what.replaceAll('\n', '\n          ')}\n`)
  if (error instanceof UsageError) {
    process.stderr.write('Run `x-server --help` for what there is.\n')
    return 2
  }
  return codeOf(error) === 'ERR_NO_SERVER' ? 3 : 1
}

async function main(): Promise<number> {
  try {
    return await run(parseCommandLine(process.argv.slice(2)))
  } catch (error) {
    return fail(error)
  }
}

// Left explicitly: a handler that was checked may have started a timer, and output is written by now.
process.exit(await main())
