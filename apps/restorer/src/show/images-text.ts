import { styleText } from 'node:util'
import type {
  DescriptorDescription,
  FileDescription,
  ImagesDescription,
  ProcessDescription,
} from '@x/restore'

/** Consecutive descriptors of one file. */
interface Row {
  readonly numbers: string
  readonly file: FileDescription
  readonly notes: readonly string[]
}

/** The tree of processes with their descriptors, and files that are in no table. */
export function imagesText({ processes, others }: ImagesDescription): string {
  const roots = processes.filter(({ parent }) => parent === undefined)
  const tree = roots.map((root) => branch(root, processes, { first: '', rest: '' })).join('')
  return others.length === 0 ? tree : `${tree}\nIn no table\n${others.map(otherLine).join('')}`
}

interface Indent {
  readonly first: string
  readonly rest: string
}

function branch(process: ProcessDescription, all: readonly ProcessDescription[], indent: Indent): string {
  const children = all.filter(({ parent }) => parent === process.pid)
  const own = [...titleLines(process), ...rowLines(rowsOf(process)), ...process.locks]
  const bar = children.length > 0 ? '│ ' : '  '
  const lines = own.map((line, place) => `${place === 0 ? indent.first : indent.rest + bar}${line}`)
  const below = children.map((child, place) => {
    const isLast = place === children.length - 1
    return branch(child, all, {
      first: `${indent.rest}${isLast ? '└ ' : '├ '}`,
      rest: `${indent.rest}${isLast ? '  ' : '│ '}`,
    })
  })
  return lines.map((line) => `${line.trimEnd()}\n`).join('') + below.join('')
}

function titleLines(process: ProcessDescription): string[] {
  const { pid, command, group, session, workingDirectory, root, umask, tableOf, descriptors } = process
  const title = bold(`${pid}${command === undefined ? '' : ` ${command}`}`)
  const facts = [
    ...(session === pid
      ? ['leads a session']
      : [session === group ? `group and session ${session}` : `session ${session}`]),
    ...(group === pid || group === session ? [] : [`group ${group}`]),
    ...(workingDirectory === undefined ? [] : [`in ${workingDirectory}`]),
    ...(root === undefined || root === '/' ? [] : [`root ${root}`]),
    ...(umask === undefined ? [] : [`umask ${umask.toString(8).padStart(3, '0')}`]),
  ]
  const table = tableOf === undefined ? [] : [`the table of ${tableOf}`]
  const empty = descriptors.length === 0 && tableOf === undefined ? ['no descriptors'] : []
  return [`${title}  ${dim(facts.join(', '))}`, ...table, ...empty]
}

function rowsOf({ pid, descriptors }: ProcessDescription): Row[] {
  const rows: Row[] = []
  for (let at = 0; at < descriptors.length;) {
    const first = descriptors[at] as DescriptorDescription
    let next = at + 1
    while (continues(first, descriptors[next], next - at)) next++
    const last = first.fd + next - at - 1
    rows.push({
      numbers: last === first.fd ? String(first.fd) : `${first.fd}-${last}`,
      file: first,
      notes: [...first.details, ...(first.cloexec ? ['close-on-exec'] : []), ...sharing(first, last, pid)],
    })
    at = next
  }
  return rows
}

function continues(
  first: DescriptorDescription,
  other: DescriptorDescription | undefined,
  distance: number,
): boolean {
  return other?.fd === first.fd + distance && other.file === first.file && other.cloexec === first.cloexec
}

const MOST_NAMED = 4

/** Where else the same description is. */
function sharing({ fd, sharedWith }: DescriptorDescription, last: number, pid: number): string[] {
  const others = sharedWith.filter((other) => other.pid !== pid || other.fd < fd || other.fd > last)
  const isRow = (other: { pid: number; fd: number }): boolean => other.fd >= fd && other.fd <= last
  const names = others.map((other) =>
    other.pid === pid ? String(other.fd) : isRow(other) ? `${other.pid}` : `${other.pid}:${other.fd}`,
  )
  const distinct = [...new Set(names)]
  if (distinct.length === 0) return []
  const rest = distinct.length - MOST_NAMED
  const named =
    rest > 1 ? `${distinct.slice(0, MOST_NAMED).join(', ')} and ${rest} more` : distinct.join(', ')
  return [`shared with ${named}`]
}

function rowLines(rows: readonly Row[]): string[] {
  const widthOf = (textOf: (row: Row) => string): number =>
    Math.max(0, ...rows.map((row) => textOf(row).length))
  const numbers = widthOf((row) => row.numbers)
  // A long name must not push the notes of all others out of sight.
  const words = Math.min(
    48,
    widthOf((row) => row.file.words),
  )
  return rows.map(
    (row) =>
      `${row.numbers.padStart(numbers)}  ${row.file.words.padEnd(words)}  ${dim(row.notes.join('; '))}`,
  )
}

function otherLine({ words, details }: FileDescription): string {
  return `  ${words}  ${dim(details.join('; '))}`.trimEnd() + '\n'
}

function bold(text: string): string {
  return styleText('bold', text, { stream: process.stdout })
}

function dim(text: string): string {
  return text === '' ? '' : styleText('dim', text, { stream: process.stdout })
}
