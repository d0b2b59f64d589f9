import { readdirSync, readFileSync } from 'node:fs'
import { isSystemError } from './errno.ts'

/** What /proc/PID/stat says, see proc_pid_stat(5). */
export interface ProcessStatus {
  readonly pid: number
  readonly name: string
  /** One letter: `R`, `S`, `T`, `Z` and so on. */
  readonly state: string
  readonly parent: number
  readonly group: number
  readonly session: number
  /** Number of its controlling terminal's device; 0 for none. */
  readonly terminal: number
  readonly foreground: number
  readonly flags: number
  /** All fields from the third on, as they are. */
  readonly fields: readonly string[]
}

const PF_KTHREAD = 0x200000

export const isKernelThread = ({ flags }: ProcessStatus): boolean => (flags & PF_KTHREAD) !== 0

/** Has ended, and waits for its parent to ask: it has nothing but its number. */
export const isDead = ({ state }: ProcessStatus): boolean => state === 'Z' || state === 'X'

/** What a file of /proc says; undefined when its process has ended. */
export function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}

/** `task`: the number of one of its threads. Undefined when there is none. */
export function statusOf(pid: number, task?: number): ProcessStatus | undefined {
  const text = readProc(task === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${task}/stat`)
  if (text === undefined) return undefined
  // The name may have anything in it, parentheses too.
  const end = text.lastIndexOf(')')
  const fields = text
    .slice(end + 2)
    .trim()
    .split(' ')
  const number = (at: number): number => Number(fields[at])
  return {
    pid: task ?? pid,
    name: text.slice(text.indexOf('(') + 1, end),
    state: fields[0] ?? '?',
    parent: number(1),
    group: number(2),
    session: number(3),
    terminal: number(4),
    foreground: number(5),
    flags: number(6),
    fields,
  }
}

/** All processes there are, by pid. */
export function allProcesses(): Map<number, ProcessStatus> {
  const all = new Map<number, ProcessStatus>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = statusOf(Number(name))
    if (status !== undefined) all.set(status.pid, status)
  }
  return all
}

/** Numbers of a process's threads, ascending. */
export const threadsOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .sort((a, b) => a - b)
