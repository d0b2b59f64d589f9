import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What a process needs beside its connections. */
const beside = 1000

/**
 * The command line under a limit of open files (RLIMIT_NOFILE) that leaves room for so many connections.
 * @param {string[]} commandLine
 * @param {number} connections
 * @throws {Error} when the limit may not be raised so far.
 */
export const withDescriptors = (commandLine, connections) => {
  const limits = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  const [soft, hard] = [limits?.[1], limits?.[2]].map((text) =>
    text === 'unlimited' ? Infinity : Number(text),
  )
  const needed = connections + beside
  if (soft === undefined || hard === undefined || soft >= needed) return commandLine
  const prlimit = ['prlimit', `--nofile=${needed}:${hard > needed ? '' : needed}`]
  const [command = '', ...args] = prlimit
  if (spawnSync(command, [...args, 'true']).status === 0) return [...prlimit, ...commandLine]
  throw new Error(
    `${connections} connections need ${needed} descriptors, and ${hard} are allowed; raise the limit (ulimit -Hn ${needed})`,
  )
}
