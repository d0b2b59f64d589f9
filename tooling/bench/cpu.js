import { execFileSync } from 'node:child_process'
import { processTree } from './process-tree.js'

/** Clock ticks in a second, the unit of utime and stime in proc_pid_stat(5). */
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** utime, stime, cutime and cstime. */
const times = [14, 15, 16, 17]

/**
 * CPU time that a process and all its descendants have used so far, in seconds: user and system time of
 * every thread, ended ones too, and of descendants that were waited for.
 * @param {number} pid
 * @returns {number}
 */
export const treeCpuSeconds = (pid) => {
  const ticks = processTree(pid).flatMap(({ field }) => times.map(field))
  return ticks.reduce((sum, time) => sum + time, 0) / ticksPerSecond
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
