import { EVFILT_PROC, EV_ADD, KQueue, NOTE_EXIT } from '@x/kevent'
import type { Interruption } from '../interruption.ts'
import type { Report, RestoredProcess } from './report.ts'

/** Milliseconds that processes have to end when they are told to. */
const GRACE = 5000

/** Waits until all processes have ended. An interruption ends them: by SIGTERM, and after a while by SIGKILL. */
export async function stayUntilEnd(
  processes: readonly RestoredProcess[],
  report: Report,
  interruption: Interruption,
): Promise<void> {
  const queue = new KQueue()
  const living = new Map<number, RestoredProcess>()
  let timer: NodeJS.Timeout | undefined
  const end = (): void => {
    killAll(living, 'SIGTERM')
    timer ??= setTimeout(() => {
      killAll(living, 'SIGKILL')
    }, GRACE)
  }
  try {
    for (const each of processes) {
      if (watch(queue, each.pid)) living.set(each.pid, each)
      else report.ended(each)
    }
    interruption.passOn(end)
    while (living.size > 0) {
      for (const { ident } of await queue.wait({ max: processes.length })) {
        const ended = living.get(ident)
        living.delete(ident)
        if (ended !== undefined) report.ended(ended)
      }
    }
  } finally {
    clearTimeout(timer)
    queue.close()
  }
}

/** False when it has ended already. */
function watch(queue: KQueue, pid: number): boolean {
  try {
    queue.kevent([{ ident: pid, filter: EVFILT_PROC, flags: EV_ADD, fflags: NOTE_EXIT }], 0)
    return true
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

function killAll(living: ReadonlyMap<number, RestoredProcess>, signal: 'SIGTERM' | 'SIGKILL'): void {
  for (const pid of living.keys()) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      // The queue is about to tell.
      if (!isGone(error)) throw error
    }
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH'
}
