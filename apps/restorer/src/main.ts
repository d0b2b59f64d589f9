#!/usr/bin/env node
import { RestoreError } from '@x/restore'
import { parseCommandLine, type Command } from './command-line/command-line.ts'
import { helpText } from './command-line/help.ts'
import { Interrupted, UsageError, messageOf } from './errors.ts'
import { EXIT } from './exit-code.ts'
import { printProblems } from './problem-text.ts'
import { version } from './version.ts'

async function run(command: Command): Promise<number> {
  switch (command.name) {
    case 'help':
      process.stdout.write(helpText(command.about))
      return EXIT.done
    case 'version':
      process.stdout.write(`${version}\n`)
      return EXIT.done
    // Each is loaded only when it is wanted.
    case 'show': {
      const { runShow } = await import('./show/show.ts')
      await runShow(command)
      return EXIT.done
    }
    case 'check': {
      const { runCheck } = await import('./check/check.ts')
      return runCheck(command)
    }
    case 'plan': {
      const { runPlan } = await import('./plan/plan.ts')
      return runPlan(command)
    }
    case 'dump': {
      const { runDump } = await import('./dump/dump.ts')
      return runDump(command)
    }
    case 'restore': {
      const { runRestore } = await import('./restore/restore.ts')
      return runRestore(command)
    }
  }
}

/** Prints what went wrong and tells the exit code for it. */
function fail(error: unknown): number {
  if (error instanceof RestoreError) {
    printProblems(error.problems)
    return EXIT.refused
  }
  if (error instanceof Error && !('code' in error)) {
    // It is a fault of this program, and its place is what helps.
    process.stderr.write(`restorer: ${error.stack ?? error.message}\n`)
    return EXIT.failed
  }
  process.stderr.write(`restorer: ${messageOf(error).replaceAll('\n', '\n          ')}\n`)
  if (error instanceof UsageError) {
    process.stderr.write('Run `restorer --help` for what there is.\n')
    return EXIT.usage
  }
  return error instanceof Interrupted ? error.exitCode : EXIT.failed
}

async function main(): Promise<number> {
  try {
    return await run(parseCommandLine(process.argv.slice(2)))
  } catch (error) {
    return fail(error)
  }
}

process.exitCode = await main()
