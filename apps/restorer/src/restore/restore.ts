import { RestoreError, run, type Command, type Examination, type Plan } from '@x/restore'
import type { RestoreCommand } from '../command-line/command-line.ts'
import { programPath } from '../command-line/program-path.ts'
import { UsageError } from '../errors.ts'
import { examineImages } from '../examine-images.ts'
import { EXIT } from '../exit-code.ts'
import { Interruption } from '../interruption.ts'
import { Report, type RestoredProcess } from './report.ts'
import { failureOf } from './failure.ts'

/**
 * Makes the processes of images again.
 * @returns the exit code.
 */
export async function runRestore(command: RestoreCommand): Promise<number> {
  const report = new Report(command.json)
  const examination = await examineFor(command)
  for (const warning of examination.warnings) report.warning(warning)
  const { plan } = examination
  if (plan === undefined) {
    report.failed(new RestoreError(examination.problems))
    return EXIT.refused
  }
  checkPrograms(command, plan)
  report.planned(plan)
  using interruption = new Interruption()
  try {
    const processes = await restore(plan, command, { report, signal: interruption.signal })
    report.restored(processes)
    if (command.foreground) {
      // Loaded only here: what returns at once needs no queue.
      const { stayUntilEnd } = await import('./foreground.ts')
      await stayUntilEnd(processes, report, interruption)
    }
    return EXIT.done
  } catch (error) {
    if (!(error instanceof RestoreError)) throw error
    const failure = failureOf(error, plan)
    report.failed(failure)
    return failure.problems.some(({ reason }) => reason === 'undo-failed') ? EXIT.left : EXIT.failed
  }
}

/** Images that cannot be read are told like such that cannot be restored. */
function examineFor({ images, place, programs }: RestoreCommand): Promise<Examination> {
  const commands = new Map<number, Command>()
  for (const [pid, words] of programs) commands.set(pid, { path: programPath(words[0] ?? ''), argv: words })
  return examineImages(images, place, commands)
}

function checkPrograms({ programs, hold }: RestoreCommand, { model }: Plan): void {
  const pids = model.tasks.map(({ pid }) => pid)
  const unknown = [...programs.keys()].filter((pid) => !pids.includes(pid))
  if (unknown.length > 0) {
    throw new UsageError(
      `--exec: process ${unknown.join(', ')} is not in the images; there are ${pids.join(', ')}`,
    )
  }
  const idle = pids.filter((pid) => !programs.has(pid))
  if (!hold && idle.length > 0) {
    throw new UsageError(
      `say what becomes of process ${idle.join(', ')}: give it a program with --exec, or have it wait with --hold`,
    )
  }
}

/** All processes, or none. */
async function restore(
  plan: Plan,
  { timeout }: RestoreCommand,
  { report, signal }: { report: Report; signal: AbortSignal },
): Promise<readonly RestoredProcess[]> {
  await using running = run(plan.program, {
    deadline: timeout,
    signal,
    onProgress: (tasks) => {
      report.progress(tasks)
    },
  })
  const { pids } = await running.commit()
  return plan.model.tasks.map(({ index, pid }) => ({ image: pid, pid: pids[index] ?? 0 }))
}
