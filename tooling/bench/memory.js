import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { processTree } from './process-tree.js'

const samples = 8
const interval = 250

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

/**
 * PSS of a process and all its descendants in bytes: their own memory, and their share of what they have in common
 * with others (proc_pid_smaps(5)). The kernel's memory for their sockets is not in it. It is the least of two
 * seconds, for what is only passing, as garbage that is about to be collected, says nothing.
 * @param {number} pid
 * @returns {Promise<number>}
 */
export const settledTreePss = async (pid) => {
  let least = Infinity
  for (let sample = 0; sample < samples; sample += 1) {
    await delay(interval)
    least = Math.min(
      least,
      processTree(pid).reduce((sum, process) => sum + pssOf(process.pid), 0),
    )
  }
  return least
}
