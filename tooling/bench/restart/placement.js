import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

const last = availableParallelism() - 1
const pins = last > 0 && spawnSync('taskset', ['-V']).error === undefined

/** The command line on these CPUs, as taskset(1) writes them. @param {string} cpus @param {string[]} commandLine */
const on = (cpus, commandLine) => (pins ? ['taskset', '-c', cpus, ...commandLine] : commandLine)

/**
 * The clients have the last CPU to themselves: a client that waits for its turn would count that as the server's time.
 * @param {string[]} commandLine
 */
export const asClient = (commandLine) => on(String(last), commandLine)

/** Servers, old and new ones, have the others. @param {string[]} commandLine */
export const asServer = (commandLine) => on(last === 1 ? '0' : `0-${last - 1}`, commandLine)
