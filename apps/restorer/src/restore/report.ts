import { styleText } from 'node:util'
import type { Plan, Problem, RestoreError, TaskProgress } from '@x/restore'
import { printProblems } from '../problem-text.ts'

export interface RestoredProcess {
  /** Its id in the images. */
  readonly image: number
  /** The id that it has here. */
  readonly pid: number
}

/**
 * What a restore tells while it goes on: to a person on standard error, with a bar on a terminal, and what has come of
 * it on standard output; to a program as JSON on standard output, an event a line.
 */
export class Report {
  readonly #json: boolean
  #hasBar = false

  constructor(json: boolean) {
    this.#json = json
  }

  planned({ model, program }: Plan): void {
    const descriptors = model.tables.reduce((sum, { fles }) => sum + fles.length, 0)
    this.#event('plan', { processes: model.tasks.length, descriptors, operations: program.ops.length })
  }

  warning(problem: Problem): void {
    if (this.#json) this.#event('warning', { problem })
    else printProblems([problem], 'warning')
  }

  progress(tasks: readonly TaskProgress[]): void {
    const done = tasks.reduce((sum, task) => sum + task.done, 0)
    const total = tasks.reduce((sum, task) => sum + task.total, 0)
    this.#event('progress', { done, total })
    if (this.#json || !process.stderr.isTTY) return
    this.#hasBar = true
    process.stderr.write(`\r${bar(done, total)} ${done} of ${total} operations\u001b[K`)
  }

  restored(processes: readonly RestoredProcess[]): void {
    this.#clear()
    this.#event('restored', { processes })
    if (this.#json) return
    for (const { image, pid } of processes)
      process.stdout.write(image === pid ? `${pid}\n` : `${image} is ${pid}\n`)
  }

  ended({ image, pid }: RestoredProcess): void {
    this.#event('ended', { image, pid })
  }

  failed(error: RestoreError): void {
    this.#clear()
    const { code, errno, syscall, problems } = error
    if (this.#json) this.#event('failed', { code, errno, syscall, problems })
    else printProblems(problems)
  }

  #clear(): void {
    if (this.#hasBar) process.stderr.write('\r\u001b[K')
    this.#hasBar = false
  }

  #event(event: string, more: object): void {
    if (this.#json) process.stdout.write(`${JSON.stringify({ event, ...more })}\n`)
  }
}

const WIDTH = 30

function bar(done: number, total: number): string {
  const full = total === 0 ? WIDTH : Math.floor((done / total) * WIDTH)
  return `[${styleText('green', '='.repeat(full), { stream: process.stderr })}${' '.repeat(WIDTH - full)}]`
}
