import type { Stage } from '../plan/node.ts'
import type { Task } from '../model/task.ts'
import type { Group } from './groups.ts'

/** `1 file`, `2 files`. */
export function counted(count: number, singular: string, plural = `${singular}s`): string {
  return `${count} ${count === 1 ? singular : plural}`
}

/** Ascending numbers for a person: `0-2, 7`. */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = []
  for (let at = 0; at < numbers.length;) {
    const first = numbers[at] ?? 0
    let length = 1
    while (numbers[at + length] === first + length) length++
    parts.push(length === 1 ? String(first) : `${first}${length === 2 ? ', ' : '-'}${first + length - 1}`)
    at += length
  }
  return parts.join(', ')
}

/** At most three of them, and how many more there are. */
export function few(parts: readonly string[], most = 3): string {
  const shown = parts.length > most + 1 ? parts.slice(0, most) : parts
  const rest = parts.length - shown.length
  return rest === 0 ? shown.join(', ') : `${shown.join(', ')} and ${rest} more`
}

/** `process 81`, or the helper, in which files are opened that several processes share. */
export function processName(task: Task | undefined): string {
  return task === undefined ? 'the helper' : `process ${task.pid}`
}

export function stageName(stage: Stage): string {
  return stage === 'open' ? 'open' : 'restored'
}

/** Descriptors of a group in its process. */
export function groupNumbers({ boxes }: Group): string {
  const numbers = boxes.flatMap((box) => box.numbers).sort((one, other) => one - other)
  const text = ranges(numbers)
  return text.length <= 24 ? text : few(text.split(', '), 2)
}

/** What it is: a file, or how many of which kind; the process in which it is goes without saying. */
export function groupLabel({ first, boxes }: Group): string {
  if (boxes.length === 1) return first.label.replace(` of process ${first.task?.pid ?? ''}`, '')
  const isSame = boxes.every(({ label }) => label === first.label)
  return `${isSame ? first.label : first.kind} × ${boxes.length}`
}

/** By stage, and in one by descriptor; those without come last. */
export function byStage({ first: one }: Group, { first: other }: Group): number {
  const numberOf = (numbers: readonly number[]): number => numbers[0] ?? Number.MAX_SAFE_INTEGER
  return (
    one.stages.open - other.stages.open ||
    numberOf(one.numbers) - numberOf(other.numbers) ||
    one.index - other.index
  )
}
