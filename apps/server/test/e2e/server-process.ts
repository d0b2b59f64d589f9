import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** The absolute path of one of this folder's handler modules. */
export const handlerFile = (name: string): string =>
  fileURLToPath(new URL(`handlers/${name}.js`, import.meta.url))

export interface LogEntry {
  msg: string
  [field: string]: unknown
}

/** What a finished program said and how it ended. */
export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** An x-server in a process of its own, as an operator would run it. */
export class ServerProcess implements AsyncDisposable {
  readonly log: LogEntry[] = []
  /** Processes that have taken over, in their order. */
  readonly #taken: number[] = []
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #file: string
  readonly #exit: Promise<number | null>
  #port = 0
  #control = ''
  #waiting: { matches: (entry: LogEntry) => boolean; resolve: (entry: LogEntry) => void }[] = []

  private constructor(
    folder: string,
    file: string,
    descriptors: number | undefined,
    config: Record<string, unknown>,
  ) {
    this.#file = file
    this.configure(config)
    const program = [process.execPath, main, '--config', file]
    const limit = descriptors === undefined ? '' : `ulimit -n ${descriptors} && `
    const child = spawn('/bin/sh', ['-c', `${limit}exec "$@"`, 'sh', ...program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    this.#folder = folder
    this.#exit = once(child, 'exit').then(([code]) => code as number | null)
    createInterface(child.stdout).on('line', (line) => {
      this.#notice(JSON.parse(line) as LogEntry)
    })
  }

  /** With a soft limit of `descriptors`, if given. */
  static async start(config: Record<string, unknown>, descriptors?: number): Promise<ServerProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'x-server-'))
    const file = join(folder, 'x-server.json')
    const server = new ServerProcess(folder, file, descriptors, config)
    const serving = await Promise.race([
      server.logged(({ msg }) => msg === 'serving'),
      server.exited().then((code) => {
        throw new Error(`x-server ended with ${code} before it served`)
      }),
    ])
    server.#port = Number(new URL(String(serving.url)).port)
    server.#control = String(serving.control)
    return server
  }

  get port(): number {
    return this.#port
  }

  /** Path of the control door. */
  get control(): string {
    return this.#control
  }

  get pid(): number {
    return this.#child.pid as number
  }

  url(path = '/'): string {
    return `http://127.0.0.1:${this.port}${path}`
  }

  /** Writes the configuration's file anew, in whose folder relative paths are. */
  configure(config: Record<string, unknown>): void {
    // Long enough to be there, and short enough for a test with ten restarts.
    const timeouts = { probation: 50, ...(config.timeouts as object | undefined) }
    this.configureText(JSON.stringify({ port: 0, workers: 2, control: 'control.sock', ...config, timeouts }))
  }

  configureText(content: string): void {
    writeFileSync(this.#file, content)
  }

  /** The first log entry, past or to come, that matches. */
  logged(matches: (entry: LogEntry) => boolean): Promise<LogEntry> {
    const found = this.log.find(matches)
    if (found !== undefined) return Promise.resolve(found)
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }))
  }

  /** Runs a control command of the program against this server. */
  command(...args: string[]): Promise<Outcome> {
    return run(process.execPath, [main, ...args, '--control', this.#control])
  }

  /** How many requests the mounts hold, in the order of their prefixes. */
  async references(): Promise<number[]> {
    const { stdout } = await this.command('mounts', '--json')
    return (JSON.parse(stdout) as { references: number }[]).map(({ references }) => references)
  }

  /** Descriptors that the process has open. */
  descriptors(): number {
    return this.descriptorsOf(this.pid)
  }

  descriptorsOf(pid: number): number {
    return readdirSync(`/proc/${pid}/fd`).length
  }

  /** The exit code; null when a signal ended it. */
  exited(): Promise<number | null> {
    return this.#exit
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** The process that serves: after restarts another one than the first. */
  get serving(): number {
    return this.#taken.at(-1) ?? this.pid
  }

  /** The folder with the configuration. */
  get folder(): string {
    return this.#folder
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL')
    for (const pid of this.#taken) killQuietly(pid)
    await this.#exit
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #notice(entry: LogEntry): void {
    this.log.push(entry)
    if (entry.msg === 'taken over') this.#taken.push(Number(entry.pid))
    for (const waiter of this.#waiting.filter(({ matches }) => matches(entry))) waiter.resolve(entry)
    this.#waiting = this.#waiting.filter(({ matches }) => !matches(entry))
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** Runs a program to its end. */
export async function run(program: string, args: string[]): Promise<Outcome> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const outcome: Outcome = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (outcome.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (outcome.stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { ...outcome, code }
}

/** Runs this program with a configuration that may be refused. */
export async function runWithConfig(content: string, name = 'bad.json'): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'x-server-'))
  try {
    const file = join(folder, name)
    writeFileSync(file, content)
    return await run(process.execPath, [main, '--config', file])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
