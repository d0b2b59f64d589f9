import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'

/** Clock ticks in a second, the unit of utime and stime in proc_pid_stat(5). */
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** @typedef {{ pid: number, parent: number, own: number, reaped: number }} ProcessTimes  Times in ticks. */

/** @param {number} pid @returns {ProcessTimes | undefined} undefined when there is no such process any more */
const timesOf = (pid) => {
  let stat
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The second field is a name in brackets that may hold anything; what follows its end is numbers.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  /** @param {number} number  as proc_pid_stat(5) counts, from 1 */
  const field = (number) => fields[number - 3] ?? 0
  return { pid, parent: field(4), own: field(14) + field(15), reaped: field(16) + field(17) }
}

/**
 * CPU time that a process and all its descendants have used so far, in seconds: user and system time of
 * every thread, ended ones too, and of descendants that were waited for.
 * @param {number} pid
 * @returns {number}
 */
export const treeCpuSeconds = (pid) => {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => timesOf(Number(name)) ?? [])
  const members = new Set([pid])
  for (let before = 0; before !== members.size;) {
    before = members.size
    for (const process of all) if (members.has(process.parent)) members.add(process.pid)
  }
  const ticks = all
    .filter((process) => members.has(process.pid))
    .reduce((sum, { own, reaped }) => sum + own + reaped, 0)
  return ticks / ticksPerSecond
}

/**
 * Does something and says what CPU time it cost the tree of a process.
 * @template Result
 * @param {number} pid
 * @param {() => Promise<Result>} body
 * @returns {Promise<{ result: Result, cpuSeconds: number }>}
 */
export const measureTreeCpu = async (pid, body) => {
  const before = treeCpuSeconds(pid)
  const result = await body()
  return { result, cpuSeconds: treeCpuSeconds(pid) - before }
}
