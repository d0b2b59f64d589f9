import { spawn, type ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { memfd, type Fd } from '@x/fdpass'
import { RestoreError } from '../errors.ts'
import { encodeProgram, type Fault } from '../program/encode.ts'
import type { Program } from '../program/program.ts'
import { Deferred } from './deferred.ts'
import { helperPath } from './helper-path.ts'
import { ProgressWatch, type TaskProgress } from './progress.ts'
import { runError } from './run-errors.ts'
import { RunState } from './run-state.ts'

export interface RunOptions {
  /** Milliseconds up to {@link Run.ready}, and again from {@link Run.commit} to its end; 30 000 unless told, 0 for no limit. */
  deadline?: number | undefined
  /** When it is aborted before the tasks are held, all is rolled back, and the promises reject with its reason. */
  signal?: AbortSignal | undefined
  /** Called at most every 20 ms while the program runs, with what each task has done; not when nothing has changed. */
  onProgress?: ((progress: readonly TaskProgress[]) => void) | undefined
  /** @internal */
  fault?: Fault | undefined
}

/** The restored processes. */
export interface Held {
  /** Process ids by the index of the task in the program; 0 for task 0, the helper, which has gone. */
  readonly pids: readonly number[]
}

const DEADLINE = 30_000
const LONGEST_DEADLINE = 0x7fff_ffff
const OPTIONS = ['deadline', 'signal', 'onProgress', 'fault']
const CONTROL = 3
// As in native/supervisor.h.
const COMMIT = 'C'
const ROLL_BACK = 'R'
const READY = 'r'.charCodeAt(0)
const EALREADY = -114

/**
 * Runs a program in a helper, a process of its own, which makes the tasks. Nothing is made in this process. Until
 * {@link Run.commit} has resolved everything can be taken back, and is when anything fails: an operation, a task that is
 * killed, the deadline, the helper's death, and this process's. Then there is no process and no name in the file system
 * that was not there before.
 *
 * Throws RestoreError: EINVAL for a bad option (`bad-option`) and for a malformed program (`bad-program`); ENOENT when the package
 * has no helper for this machine (`no-helper`). An aborted signal throws its reason.
 */
export function run(program: Program, options: RunOptions = {}): Run {
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name))
  if (unknown !== undefined) {
    const message = `there is no option ${unknown}; there are deadline, signal and onProgress`
    throw new RestoreError([{ reason: 'bad-option', message }])
  }
  const { deadline = DEADLINE, signal } = options
  if (!Number.isInteger(deadline) || deadline < 0 || deadline > LONGEST_DEADLINE) {
    const message = `deadline is a whole number of milliseconds from 0 to ${LONGEST_DEADLINE}, not ${deadline}`
    throw new RestoreError([{ reason: 'bad-option', message }])
  }
  signal?.throwIfAborted()
  return new Run(program, options)
}

/** A program that runs. */
export class Run implements AsyncDisposable {
  readonly #program: Program
  readonly #bytes: Fd
  readonly #state: RunState
  readonly #watch: ProgressWatch
  readonly #signal: AbortSignal | undefined
  readonly #ready = new Deferred<void>()
  readonly #held = new Deferred<Held>()
  readonly #control: Socket
  /** Process id of the helper, which leads a session of its own: the tasks begin in that. Undefined if it did not start. */
  readonly pid: number | undefined
  #committed = false
  #over = false

  /** @internal */
  constructor(program: Program, { deadline = DEADLINE, signal, onProgress, fault }: RunOptions) {
    const path = helperPath()
    const bytes = encodeProgram(program, { deadline, fault })
    this.#program = program
    this.#signal = signal
    this.#state = new RunState(program)
    this.#bytes = memfd('restore-program', bytes, { seals: ['shrink', 'grow', 'write'] })
    this.#watch = new ProgressWatch(program, this.#state, onProgress)
    const child = this.#start(path, [])
    this.pid = child.pid
    this.#control = child.stdio[CONTROL] as Socket
    this.#control.on('data', (said: Buffer) => {
      if (said.includes(READY)) this.#ready.resolve()
    })
    child.on('close', () => {
      this.#conclude(path)
    })
    signal?.addEventListener('abort', this.#askToRollBack, { once: true })
  }

  /**
   * Resolves when every task is at its barrier. From then on the run waits for {@link commit}, without a limit. Rejects
   * with RestoreError, when all has been rolled back: `op-failed` with errno and syscall of the operation, and the pid of
   * the process in the image; `task-died`; `deadline` (ETIMEDOUT); `helper-died` (EPIPE); `helper-failed`; `rolled-back`
   * (ECANCELED). What could not be taken away is in further problems, `undo-failed`.
   */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  /** What each task has done, by its index. */
  get progress(): readonly TaskProgress[] {
    return this.#over ? this.#watch.last : this.#watch.look()
  }

  /**
   * Lets the tasks do what cannot be taken back, once they are {@link ready}, and resolves when they are held: they wait
   * for a signal, or run the programs that they execute, and their parent is init, or the nearest subreaper. Rejects as
   * `ready` does.
   */
  async commit(): Promise<Held> {
    await this.#ready.promise
    if (!this.#committed) this.#control.write(COMMIT)
    this.#committed = true
    return this.#held.promise
  }

  /**
   * Kills all tasks and takes away what they made. Resolves when that is done, also when the run has failed by itself.
   * Rejects with RestoreError EALREADY (`held`) when the tasks are held already: they are nobody's any more.
   */
  async rollback(): Promise<void> {
    this.#askToRollBack()
    const held = await this.#held.promise.then(
      () => true,
      () => false,
    )
    if (!held) return
    const message = 'the processes are restored already: end them by their process ids'
    throw new RestoreError([{ reason: 'held', message }], { errno: EALREADY })
  }

  /** Rolls back, unless the tasks are held. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#askToRollBack()
    await this.#held.promise.catch(() => undefined)
  }

  readonly #askToRollBack = (): void => {
    if (this.#control.writable) this.#control.write(ROLL_BACK)
  }

  #start(path: string, args: string[]): ChildProcess {
    const child = spawn(path, args, {
      // Signals of this process's terminal are not for the tasks.
      detached: true,
      cwd: '/',
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', this.#bytes.fd, this.#state.file.fd],
    })
    // The end of the process tells the same; and without listeners these would end this one.
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (child.pid === undefined) this.#fail(spawnError(path, cause))
    })
    child.stdio[CONTROL]?.on('error', () => undefined)
    return child
  }

  #conclude(path: string): void {
    if (this.#over) return
    if (this.#state.outcome === 'held') {
      const [, ...pids] = this.#state.pids
      this.#finish()
      this.#held.resolve({ pids: [0, ...pids] })
      return
    }
    const { kind } = this.#state.failure
    const begun = kind !== 'program' && kind !== 'helper'
    if (this.#state.outcome === 'rolled-back' || !begun) {
      this.#fail(this.#signal?.aborted === true ? this.#signal.reason : runError(this.#program, this.#state))
      return
    }
    // The helper is dead, and its tasks die with it. Another one waits for that and takes away what they made.
    const undoing = this.#start(path, ['--undo'])
    undoing.on('close', () => {
      if (!this.#over) this.#fail(runError(this.#program, this.#state))
    })
    const control = undoing.stdio[CONTROL] as Socket
    control.resume()
  }

  #fail(error: unknown): void {
    this.#finish()
    this.#ready.reject(error)
    this.#held.reject(error)
  }

  #finish(): void {
    this.#over = true
    this.#signal?.removeEventListener('abort', this.#askToRollBack)
    this.#watch.stop()
    this.#bytes.close()
    this.#state[Symbol.dispose]()
  }
}

function spawnError(path: string, cause: NodeJS.ErrnoException): RestoreError {
  const message = `${path}: ${cause.code ?? cause.message}, the helper cannot be started: see its permissions`
  return new RestoreError([{ reason: 'no-helper', message }], {
    ...(cause.errno === undefined ? {} : { errno: cause.errno }),
    syscall: 'spawn',
    cause,
  })
}
