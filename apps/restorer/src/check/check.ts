import { RestoreError, type Examination, type Problem } from '@x/restore'
import type { CheckCommand } from '../command-line/command-line.ts'
import { examineImages } from '../examine-images.ts'
import { EXIT } from '../exit-code.ts'
import { jsonText } from '../json-text.ts'
import { printProblems } from '../problem-text.ts'

/**
 * Tells whether images can be restored here, and all that stands against it.
 * @returns the exit code.
 */
export async function runCheck({ images, place, json }: CheckCommand): Promise<number> {
  const { problems, warnings, summary } = await verdict(images, place)
  const sound = problems.length === 0
  if (json) process.stdout.write(jsonText({ sound, images, problems, warnings }))
  else {
    printProblems(warnings, 'warning')
    printProblems(problems)
    if (sound) process.stdout.write(`${images} can be restored here: ${summary}.\n`)
  }
  return sound ? EXIT.done : EXIT.refused
}

interface Verdict {
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
  readonly summary: string
}

/** Images that cannot be read are refused like such that cannot be restored. */
async function verdict(images: string, place: CheckCommand['place']): Promise<Verdict> {
  try {
    const examination = await examineImages(images, place)
    return { ...examination, summary: summaryOf(examination) }
  } catch (error) {
    if (!(error instanceof RestoreError)) throw error
    return { problems: error.problems, warnings: [], summary: '' }
  }
}

function summaryOf({ model }: Examination): string {
  const { length } = model.tasks
  const descriptors = model.tables.reduce((sum, { fles }) => sum + fles.length, 0)
  return `${length} ${length === 1 ? 'process' : 'processes'}, ${descriptors} ${descriptors === 1 ? 'descriptor' : 'descriptors'}`
}
