import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PlanNode } from '../../plan/node.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import { AT_FDCWD } from '../flags.ts'
import type { StepContext } from '../kind.ts'
import { rename } from './names.ts'
import type { Binding, Place } from './socket.ts'
import { unixOf } from './unix.ts'

const AT_REMOVEDIR = 0x200

/** The step after which a path can be taken. */
function freed(context: StepContext, place: Place, path: string): PlanNode {
  return context.shared(`path of sockets ${path}`, () => ({
    task: undefined,
    label: `place at ${path}`,
    run: (step) => {
      const { names } = unixOf(step)
      const folders = missingFolders(dirname(path))
      const aside = names.occupantAt(path) === 'dead' ? names.besides(path) : undefined
      for (const folder of folders)
        step.ops.call('mkdirat', [AT_FDCWD, { text: folder }, 0o755], {
          changes: { kind: 'createFolder', path: folder },
        })
      if (aside !== undefined) rename(step.ops, path, aside, { changes: { kind: 'rename', path, to: aside } })
      step.afterOpens(undefined, (ops) => {
        settle(ops, place, path)
        if (aside !== undefined && !place.bindings.some(hasPath))
          rename(ops, aside, path, { changes: { kind: 'remove', path: aside } })
        for (const folder of folders.toReversed()) remove(ops, folder, AT_REMOVEDIR)
      })
      if (aside !== undefined && place.bindings.some(hasPath))
        step.afterCommit(undefined, (ops) => {
          ops.call('unlinkat', [AT_FDCWD, { text: aside }, 0])
        })
      return { status: 0 }
    },
  }))
}

function hasPath({ isDeleted }: Binding): boolean {
  return !isDeleted
}

/** Every path has its name for good; one that was deleted looks so again, with the name that it had. */
function settle(ops: TaskOps, { bindings }: Place, path: string): void {
  for (const { hidden, isDeleted } of bindings) {
    if (hidden === undefined) continue
    rename(ops, hidden, path, { changes: { kind: 'move', path: hidden, to: path } })
    if (isDeleted) remove(ops, path, 0)
  }
}

function missingFolders(folder: string): string[] {
  const missing: string[] = []
  for (let at = folder; !existsSync(at); at = dirname(at)) missing.unshift(at)
  return missing
}

function remove(ops: TaskOps, path: string, flags: number): void {
  ops.call('unlinkat', [AT_FDCWD, { text: path }, flags], { changes: { kind: 'remove', path } })
}

/** Waits until a name can be taken: by those that had it before, and by what is in the way. */
export function isFree(context: StepContext, binding: Binding, before: readonly PlanNode[]): boolean {
  const { place } = binding
  const nodes = place.path === undefined ? before : [...before, freed(context, place, place.path)]
  // Each is asked, so that this waits for all of them at once.
  return nodes.filter((node) => !context.need(node, 'restored')).length === 0
}
