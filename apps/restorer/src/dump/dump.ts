import { existsSync, readdirSync } from 'node:fs'
import { RestoreError, collect, writeImages, type ImageSet, type Problem } from '@x/restore'
import type { DumpCommand } from '../command-line/command-line.ts'
import { EXIT } from '../exit-code.ts'
import { Interruption } from '../interruption.ts'
import { jsonText } from '../json-text.ts'
import { printProblems } from '../problem-text.ts'

/**
 * Writes images of living processes.
 * @returns the exit code.
 */
export async function runDump({
  pids,
  images,
  running,
  external,
  lossy,
  json,
}: DumpCommand): Promise<number> {
  checkFolder(images)
  const warnings: Problem[] = []
  // Who ended this in the middle would leave processes that stand still.
  using interruption = new Interruption()
  const { signal } = interruption
  const set = await collect(pids, {
    stop: running ? 'none' : 'freeze',
    external,
    lossy,
    signal,
    onWarning: (problem) => {
      warnings.push(problem)
    },
  })
  await writeImages(images, set, { signal })
  if (json) process.stdout.write(jsonText({ images, ...counts(set), warnings }))
  else {
    printProblems(warnings, 'warning')
    process.stdout.write(`${summary(set)} in ${images}\n`)
  }
  return EXIT.done
}

/** Before any process is stopped for it. */
function checkFolder(images: string): void {
  if (!existsSync(images) || readdirSync(images).length === 0) return
  const message = `${images} is not empty: name a folder that is, or is not there`
  throw new RestoreError([{ reason: 'folder-not-empty', message }])
}

function counts({ tasks, tables, files }: ImageSet): {
  processes: number
  descriptors: number
  files: number
} {
  const descriptors = [...tables.values()].reduce((sum, table) => sum + table.length, 0)
  return { processes: tasks.length, descriptors, files: files.length }
}

function summary(set: ImageSet): string {
  const { processes, descriptors } = counts(set)
  const of = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`
  return `${of(processes, 'process', 'processes')}, ${of(descriptors, 'descriptor', 'descriptors')}`
}
