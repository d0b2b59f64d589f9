import { RestoreError, type Problem } from '../errors.ts'
import type { ImageSet } from '../images/index.ts'
import { builtInKinds } from '../kinds/built-in.ts'
import { kindFinder } from '../kinds/kind-finder.ts'
import type { FileKind, Situation } from '../kinds/kind.ts'
import { buildModel, type Model } from '../model/model.ts'
import { flesIn, type File } from '../model/file.ts'
import type { Program } from '../program/program.ts'
import { checkMachine } from './machine.ts'
import { checkNamespace, enterNamespace } from './network-namespace.ts'
import { controllingTerminals } from './controlling-terminal.ts'
import { addEnding, type Command } from './ending.ts'
import { Family } from './family.ts'
import { Forkers } from './forkers.ts'
import { addLocks, checkLocks } from './locks.ts'
import { FdType } from '../images/index.ts'
import { OpList } from './op-list.ts'
import { chooseOpeners, type Opener } from './openers.ts'
import { Planner } from './planner.ts'
import { situationOf } from './situation.ts'
import type { PlanNode } from './node.ts'

export interface PlanOptions {
  /** Kinds of files; a later one goes before an earlier one that would take the same file. Default {@link builtInKinds}. */
  readonly kinds?: readonly FileKind[]
  /** Where paths of the image are now: `[['/srv/old', '/srv/new']]`. The longest that fits is taken. */
  readonly map?: Iterable<readonly [string, string]>
  /** Whether processes get the ids that they had. Needs CAP_CHECKPOINT_RESTORE. Default true. */
  readonly keepPids?: boolean
  /** Path of a network namespace that everything is made in: `/run/netns/NAME`. */
  readonly networkNamespace?: string
  /** What processes become, by their id in the image; others wait until they are killed. */
  readonly commands?: ReadonlyMap<number, Command>
}

/** A restore that can begin: nothing has happened yet. */
export interface Plan {
  readonly model: Model
  readonly nodes: readonly PlanNode[]
  readonly program: Program
  /** What will differ from the images. */
  readonly warnings: readonly Problem[]
}

/** What planning finds out, also when it comes to no plan. */
export interface Examination {
  /** What the images say, as far as it could be understood. */
  readonly model: Model
  /** What stands against a restore; empty when there is a plan. */
  readonly problems: readonly Problem[]
  /** What will differ from the images. */
  readonly warnings: readonly Problem[]
  /** What has been planned: nothing when the images or this machine are refused, all when only circles are. */
  readonly nodes: readonly PlanNode[]
  /** Nodes that wait for each other, so that none of them can be first. */
  readonly circles: readonly (readonly PlanNode[])[]
  readonly plan: Plan | undefined
}

/**
 * Decides who opens what, and in which order everything happens. Everything that can be found wrong is found now, all
 * of it at once.
 *
 * Throws RestoreError (EINVAL) with the problems: what is wrong with the images, what this machine lacks, and circles of
 * files that wait for each other.
 */
export function plan(images: ImageSet, options: PlanOptions = {}): Plan {
  const examination = examine(images, options)
  if (examination.plan === undefined) throw new RestoreError(examination.problems)
  return examination.plan
}

/** Plans as {@link plan} does, and tells all that is known when that fails. */
export function examine(images: ImageSet, options: PlanOptions = {}): Examination {
  const { model, problems } = buildModel(images)
  const warnings: Problem[] = []
  const found = { model, problems, warnings, nodes: [], circles: [], plan: undefined }
  if (problems.length > 0) return found
  const situation = situationOf({
    images,
    model,
    map: options.map,
    networkNamespace: options.networkNamespace,
    warnings,
  })
  const kindOf = kindFinder(options.kinds ?? builtInKinds)
  const openers = prepare(situation, kindOf, { options, problems })
  if (problems.length > 0) return found
  const list = new OpList()
  const planner = new Planner(list, situation, kindOf, byFile(openers))
  const isWhole = write(planner, openers, options)
  const { nodes, circles } = planner
  const whole = { model, problems: planner.problems, warnings, nodes, circles }
  if (!isWhole) return { ...whole, plan: undefined }
  return { ...whole, plan: { model, nodes, program: programOf(list, planner, kindOf), warnings } }
}

function byFile(openers: readonly Opener[]): Map<File, Opener> {
  const found = new Map<File, Opener>()
  for (const opener of openers) found.set(opener.file, opener)
  return found
}

/** Whether all could be written down. */
function write(planner: Planner, openers: readonly Opener[], options: PlanOptions): boolean {
  const { keepPids = true, commands = new Map<number, Command>(), networkNamespace } = options
  enterNamespace(planner, networkNamespace)
  const inherited = openers.filter(({ task }) => task === undefined).map(({ file }) => file)
  addLocks(planner)
  for (const file of inherited) planner.nodeOf(file)
  const { situation } = planner
  const terminals = controllingTerminals(situation)
  const forkers = forkersOf(situation)
  for (const warning of forkers.warnings) situation.warn(warning)
  new Family(planner, situation.model.tasks, { keepPids, inherited, terminals, forkers })
  // First the processes, as far as they need no file of their own: then no file has to wait for them.
  planner.advance()
  for (const { file } of openers) planner.nodeOf(file)
  if (!planner.run()) return false
  addEnding(planner, commands)
  return planner.problems.length === 0
}

function prepare(
  situation: Situation,
  kindOf: (file: File) => FileKind | undefined,
  { options, problems }: { options: PlanOptions; problems: Problem[] },
): readonly Opener[] {
  problems.push(
    ...checkNamespace(options.networkNamespace),
    ...checkMachine(situation.model, options.keepPids ?? true),
  )
  for (const file of filesInUse(situation)) {
    const kind = kindOf(file)
    if (kind === undefined) problems.push(unknownKind(file))
    else if (kind.check !== undefined)
      for (const problem of kind.check(file, situation)) problems.push(problem)
  }
  problems.push(...checkLocks(situation), ...forkersOf(situation).problems)
  return chooseOpeners(situation, kindOf, problems)
}

/** Those that a table holds, that are in flight, or that a process works in; others only have a name for these. */
function filesInUse({ model, images }: Situation): Set<File> {
  const files = new Set<File>()
  for (const file of model.files.values()) if (file.fles.length > 0) files.add(file)
  const add = (file: File | undefined): void => {
    if (file !== undefined) files.add(file)
  }
  for (const { entry } of images.packets)
    for (const { rights } of entry.scm) for (const id of rights) add(model.files.get(id))
  for (const { surroundings } of model.tasks) {
    add(surroundings.root)
    add(surroundings.workingDirectory)
  }
  return files
}

function forkersOf({ once, model }: Situation): Forkers {
  return once('forkers', () => new Forkers(model))
}

function unknownKind(file: File): Problem {
  const [first] = file.fles
  return {
    reason: 'unknown-kind',
    message: `file ${file.id} is of the type ${typeName(file.type)}, which cannot be restored`,
    file: file.id,
    ...(first === undefined ? {} : { pid: first.table.owner.pid, fd: first.fd }),
  }
}

function typeName(type: number): string {
  return Object.entries(FdType).find(([, number]) => number === type)?.[0] ?? String(type)
}

function programOf(list: OpList, planner: Planner, kindOf: (file: File) => FileKind | undefined): Program {
  const { model } = planner.situation
  const reserved = new Set<number>()
  for (const file of model.files.values())
    for (const fd of kindOf(file)?.numbers?.(file) ?? []) reserved.add(fd)
  const tasks = model.tasks.map(({ pid, table, index }) => {
    const own = table.owner.index === index
    const targets = own ? table.fles.map(({ fd }) => fd) : undefined
    for (const fd of targets ?? []) reserved.add(fd)
    return { pid, targets }
  })
  let units: readonly string[] | undefined
  // Before the blobs are taken: it adds to them.
  const { undo } = list
  return {
    tasks: [{ pid: 0, targets: undefined }, ...tasks],
    ops: list.ops,
    slots: list.slots,
    undo,
    reserved: [...reserved].sort((one, other) => one - other),
    blobs: list.blobs,
    // Only who reads about the program, or of its failure, needs names.
    get units() {
      return (units ??= planner.nodes.map(unitName))
    },
  }
}

function unitName({ label, about, takes, task }: PlanNode): string {
  const file = about ?? takes?.file
  const own = file === undefined || task === undefined ? undefined : flesIn(file, task.table)[0]
  const fle = own ?? file?.fles[0]
  return fle === undefined ? label : `${label}, descriptor ${fle.fd} of process ${fle.table.owner.pid}`
}
