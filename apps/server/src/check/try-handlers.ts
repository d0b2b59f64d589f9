import { Worker } from 'node:worker_threads'
import { messageOf } from '../errors.ts'
import type { MountSpec } from '../handler.ts'

/** Milliseconds for one step of one handler. */
const PATIENCE = 30_000

export interface TriedMount {
  readonly prefix: string
  readonly host?: string
  readonly spec: MountSpec
}

export type TrialStep = 'loading' | 'init' | 'cleanup'

/** What the thread of a trial is started with. */
export interface TrialData {
  readonly mounts: readonly TriedMount[]
  /** Where to begin: those before it are tried already. */
  readonly first: number
}

export type FromTrial =
  | { readonly type: 'begun'; readonly index: number; readonly step: TrialStep }
  | { readonly type: 'tried'; readonly index: number; readonly problem: string | undefined }
  | { readonly type: 'done' }

export interface HandlerProblem {
  /** Of the mount in the list. */
  readonly index: number
  readonly message: string
}

/**
 * Loads the handlers of all mounts, with their `init` and `cleanup`, in a thread that is thrown away, one after
 * the other. One that ends the thread or takes a step for too long is a problem; the others get a new thread.
 */
export async function tryHandlers(
  mounts: readonly TriedMount[],
  patience: number = PATIENCE,
): Promise<HandlerProblem[]> {
  const problems: HandlerProblem[] = []
  let first = 0
  while (first < mounts.length) first = await tryFrom({ mounts, first }, problems, patience)
  return problems
}

/** Resolves with the index behind the last mount that was tried. */
function tryFrom(data: TrialData, problems: HandlerProblem[], patience: number): Promise<number> {
  const options = { workerData: data, stdout: true, stderr: true, name: 'x-server check' }
  const thread = new Worker(new URL('../check/handler-trial.js', import.meta.url), options)
  // Standard output is for what a check says.
  thread.stdout.pipe(process.stderr, { end: false })
  thread.stderr.pipe(process.stderr, { end: false })
  let at = data.first
  let step: TrialStep = 'loading'
  // Put into words at the exit: only then all that the thread has told is known, and so the step that it was in.
  let failure = (): string => `${step} ends its thread; a handler must not call process.exit()`
  let limit: NodeJS.Timeout | undefined
  const refuse = (reason: string): void => {
    failure = () => reason
    void thread.terminate()
  }
  thread.on('message', (message: FromTrial) => {
    clearTimeout(limit)
    if (message.type === 'begun') {
      at = message.index
      step = message.step
      limit = setTimeout(refuse, patience, `${step} has not ended within ${patience} ms`)
      return
    }
    at = message.type === 'tried' ? message.index + 1 : data.mounts.length
    if (message.type === 'done') void thread.terminate()
    else if (message.problem !== undefined) problems.push({ index: message.index, message: message.problem })
  })
  thread.on('error', (error: unknown) => {
    failure = () => `${step} leaves an error that nobody catches: ${messageOf(error)}`
  })
  return new Promise((resolve) => {
    thread.on('exit', () => {
      clearTimeout(limit)
      const mount = data.mounts[at]
      if (mount !== undefined) problems.push({ index: at, message: `${mount.spec.module}: ${failure()}` })
      resolve(at + 1)
    })
  })
}
