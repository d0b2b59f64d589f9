import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { processTree } from './process-tree.js'

const interval = 500
/** V8 gives memory back in steps, seconds apart, once a process has nothing to do. */
const steadyMs = 15_000
/** Well below what servers let a connection be idle for. */
const mostMs = 25_000

/** PSS of a process in bytes, or 0 when it is gone. @param {number} pid */
const pssOf = (pid) => {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error)
    // A process that has ended has none; being forbidden to look must not pass for 0 bytes.
    if (code === 'ENOENT' || code === 'ESRCH') return 0
    throw error
  }
}

/** @param {number} pid */
const treePss = (pid) => processTree(pid).reduce((sum, process) => sum + pssOf(process.pid), 0)

/**
 * PSS of a process and all its descendants in bytes: their own memory, and their share of what they have in common
 * with others (proc_pid_smaps(5)). The kernel's memory for their sockets is not in it. It is what is left when it has
 * stopped to fall, by more than a hundredth, or after 25 s: garbage that is about to be given back says nothing.
 * @param {number} pid
 * @returns {Promise<number>}
 */
export const settledTreePss = async (pid) => {
  const begun = performance.now()
  let least = treePss(pid)
  for (let fallen = begun; performance.now() - fallen < steadyMs && performance.now() - begun < mostMs;) {
    await delay(interval)
    const now = treePss(pid)
    if (now < least * 0.99) fallen = performance.now()
    least = Math.min(least, now)
  }
  return least
}
