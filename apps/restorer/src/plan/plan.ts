import { planDot, planJson, planText, type Examination } from '@x/restore'
import type { PlanCommand } from '../command-line/command-line.ts'
import { examineImages } from '../examine-images.ts'
import { EXIT } from '../exit-code.ts'
import { jsonText } from '../json-text.ts'
import { printProblems } from '../problem-text.ts'

/**
 * Shows how images would be restored. A plan that fails for circles is shown with them.
 * @returns the exit code.
 */
export async function runPlan({ images, place, format, all }: PlanCommand): Promise<number> {
  const examination = await examineImages(images, place)
  const { problems, warnings } = examination
  printProblems(warnings, 'warning')
  printProblems(problems)
  const isPlanned = problems.length === 0 || examination.circles.length > 0
  if (isPlanned || format === 'json') process.stdout.write(await planIn(format, examination, all))
  return problems.length === 0 ? EXIT.done : EXIT.refused
}

async function planIn(
  format: PlanCommand['format'],
  examination: Examination,
  all: boolean,
): Promise<string> {
  const most = all ? { most: Infinity } : {}
  switch (format) {
    case 'text':
      return planText(examination, most)
    case 'json':
      return jsonText({ ...planJson(examination), problems: examination.problems })
    case 'dot':
      return planDot(examination, most)
    case 'svg': {
      // Loaded only here: it is a megabyte of WebAssembly.
      const { drawing } = await import('./drawing.ts')
      return drawing(planDot(examination, most))
    }
  }
}
