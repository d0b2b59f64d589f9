import { readFileSync, readdirSync } from 'node:fs'

/**
 * A process as proc_pid_stat(5) shows it. `field` counts as that page does, from 1.
 * @typedef {{ pid: number, parent: number, field: (number: number) => number }} ProcessStat
 */

/** @param {number} pid @returns {ProcessStat | undefined} undefined when there is no such process any more */
const statOf = (pid) => {
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
  /** @param {number} number */
  const field = (number) => fields[number - 3] ?? 0
  return { pid, parent: field(4), field }
}

/** A process and all its descendants. @param {number} pid @returns {ProcessStat[]} */
export const processTree = (pid) => {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(Number(name)) ?? [])
  const members = new Set([pid])
  for (let before = 0; before !== members.size;) {
    before = members.size
    for (const process of all) if (members.has(process.parent)) members.add(process.pid)
  }
  return all.filter((process) => members.has(process.pid))
}
