import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../errors.ts'
import { loadHandler } from '../handlers/handler-module.ts'
import { createLog } from '../log.ts'
import { MountedHandler } from '../worker/mounted-handler.ts'
import type { HandlerHost } from '../worker/mounted-handler.ts'
import type { FromTrial, TrialData, TrialStep, TriedMount } from './try-handlers.ts'

const port = parentPort
if (port === null) throw new Error('handler-trial.js is a thread of x-server and no program of its own')

const tell = (message: FromTrial): void => {
  port.postMessage(message)
}

// What a handler says while it is only tried is not what the server has to say.
const host: HandlerHost = {
  worker: 0,
  log: createLog('silent'),
  mounts: () => [],
  mountsNow: () => Promise.resolve([]),
  health: () => ({ ready: false, state: 'starting', workers: 0 }),
  counters: () => ({}),
}

/** Takes the steps of a handler's life, but for requests; `begin` is called before each. */
async function live(
  { prefix, host: name, spec }: TriedMount,
  begin: (step: TrialStep) => void,
): Promise<void> {
  begin('loading')
  const module = await loadHandler(spec, 0)
  const handler = new MountedHandler(module, { prefix, host: name, slot: 0, generation: 0, spec }, host)
  begin('init')
  await module.init?.(handler.context(''))
  begin('cleanup')
  await module.cleanup?.(handler.context(''))
}

const { mounts, first } = workerData as TrialData
for (const [index, mount] of mounts.entries()) {
  if (index < first) continue
  const steps: TrialStep[] = []
  const begin = (step: TrialStep): void => {
    steps.push(step)
    tell({ type: 'begun', index, step })
  }
  try {
    await live(mount, begin)
    tell({ type: 'tried', index, problem: undefined })
  } catch (error) {
    // That the module cannot be loaded is said by the error itself, with the module's name.
    const at = steps.at(-1) ?? 'loading'
    const problem =
      at === 'loading' ? messageOf(error) : `${mount.spec.module}: ${at} failed: ${messageOf(error)}`
    tell({ type: 'tried', index, problem })
  }
}
// A handler may have left timers or sockets that would keep the thread.
tell({ type: 'done' })
