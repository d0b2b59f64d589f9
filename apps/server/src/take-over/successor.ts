import type { ChildProcess } from 'node:child_process'
import { messageOf } from '../errors.ts'
import type { HandOver } from './hand-over.ts'
import type { RestartReport } from './restart-report.ts'

/** Starts a process that takes over. Resolves when it has; rejects when it has not, and then it is gone. */
export async function succeed(handOver: HandOver, spawn: () => ChildProcess): Promise<RestartReport> {
  const outcome = handOver.outcome()
  let successor: ChildProcess | undefined
  let over = false
  const failed = (reason: string): void => {
    if (!over) handOver.failed(reason, successor?.pid)
  }
  try {
    successor = spawn()
    successor.once('error', (error) => {
      failed(error.message)
    })
    successor.once('exit', (code, signal) => {
      failed(`the new process has ended with ${signal ?? `exit code ${code}`}; its log says why`)
    })
  } catch (error) {
    failed(messageOf(error))
  }
  try {
    return await outcome
  } catch (error) {
    // One that hangs does so for ever.
    successor?.kill('SIGKILL')
    throw error
  } finally {
    over = true
  }
}
