import { statSync } from 'node:fs'
import type { Problem } from '../errors.ts'
import { hasCapability } from './machine.ts'
import type { Planner } from './planner.ts'

const CLONE_NEWNET = 0x40000000
const AT_FDCWD = -100
const O_CLOEXEC = 0o2000000
const CAP_SYS_ADMIN = 21n

/** Whether a network namespace can be entered, as far as that can be told without doing it. */
export function* checkNamespace(path: string | undefined): Iterable<Problem> {
  if (path === undefined) return
  const found = statSync(path, { throwIfNoEntry: false })
  // All namespaces are files of one file system.
  if (found?.dev !== statSync('/proc/self/ns/net').dev) {
    const message = `${path} is no network namespace: make one (ip netns add NAME, then /run/netns/NAME), or name that of a process (/proc/PID/ns/net)`
    yield { reason: 'no-namespace', message }
  }
  if (!hasCapability(CAP_SYS_ADMIN)) {
    const message = `the network namespace ${path} cannot be entered without CAP_SYS_ADMIN: run with it`
    yield { reason: 'no-privilege', message }
  }
}

/** The first step of the helper: every process comes to be in the namespace, and what the helper opens is in it. */
export function enterNamespace(planner: Planner, path: string | undefined): void {
  if (path === undefined) return
  planner.addStep({
    task: undefined,
    label: `network namespace ${path}`,
    run: ({ ops }) => {
      const namespace = ops.open('openat', [AT_FDCWD, { text: path }, O_CLOEXEC, 0])
      ops.call('setns', [{ slot: namespace }, CLONE_NEWNET])
      ops.drop(namespace)
      return { status: 0 }
    },
  })
}
