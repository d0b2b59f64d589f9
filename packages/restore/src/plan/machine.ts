import { existsSync, readFileSync } from 'node:fs'
import type { Problem } from '../errors.ts'
import type { Model } from '../model/model.ts'

/** Descriptors that the helper and its processes need besides, with numbers that no table has. */
const SPARE = 16
const CAP_SYS_ADMIN = 21n
const CAP_CHECKPOINT_RESTORE = 40n

/** What this machine does not let happen, as far as that can be told before. */
export function checkMachine(model: Model, keepPids: boolean): Problem[] {
  return [...checkNumbers(model), ...(keepPids ? checkPids(model) : [])]
}

function* checkNumbers(model: Model): Iterable<Problem> {
  const limit = descriptorLimit()
  for (const { owner, fles } of model.tables) {
    const last = fles.at(-1)
    if (last === undefined) continue
    if (last.fd >= limit) {
      const message = `process ${owner.pid} has descriptor ${last.fd}, and the limit here is ${limit}: raise the hard RLIMIT_NOFILE (ulimit -Hn)`
      yield { reason: 'descriptor-limit', message, pid: owner.pid, fd: last.fd }
    } else if (fles.length + SPARE > limit) {
      const message = `process ${owner.pid} has ${fles.length} descriptors, and ${SPARE} more are needed to make them; the limit here is ${limit}: raise the hard RLIMIT_NOFILE (ulimit -Hn)`
      yield { reason: 'descriptor-limit', message, pid: owner.pid }
    }
  }
}

function* checkPids({ tasks }: Model): Iterable<Problem> {
  if (tasks.length === 0) return
  if (!hasCapability(CAP_CHECKPOINT_RESTORE) && !hasCapability(CAP_SYS_ADMIN)) {
    const message =
      'processes cannot get the ids that they had without CAP_CHECKPOINT_RESTORE: run with it, or let them have new ids'
    yield { reason: 'no-privilege', message }
  }
  for (const { pid } of tasks) {
    if (!existsSync(`/proc/${pid}`)) continue
    const message = `process id ${pid} is in use here: end that process, restore in a pid namespace of its own, or let processes have new ids`
    yield { reason: 'pid-taken', message, pid }
  }
}

/** The hard limit: the helper raises the soft one to it. */
function descriptorLimit(): number {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  return line?.[1] === undefined || line[1] === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(line[1])
}

/** Whether this process has a capability, by its number (linux/capability.h). */
export function hasCapability(number: bigint): boolean {
  const set = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return (BigInt(`0x${set}`) & (1n << number)) !== 0n
}
