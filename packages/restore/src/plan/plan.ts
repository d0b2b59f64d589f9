import { RestoreError, type Problem } from '../errors.ts'
import type { ImageSet } from '../images/index.ts'
import { builtInKinds } from '../kinds/built-in.ts'
import type { FileKind, Situation } from '../kinds/kind.ts'
import { buildModel, type Model } from '../model/model.ts'
import type { File } from '../model/file.ts'
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
import { pathMap } from './path-map.ts'
import { Planner } from './planner.ts'
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

/**
 * Decides who opens what, and in which order everything happens. Everything that can be found wrong is found now, all
 * of it at once.
 *
 * Throws RestoreError (EINVAL) with the problems: what is wrong with the images, what this machine lacks, and circles of
 * files that wait for each other.
 */
export function plan(images: ImageSet, options: PlanOptions = {}): Plan {
  const { model, problems } = buildModel(images)
  if (problems.length > 0) throw new RestoreError(problems)
  const warnings: Problem[] = []
  const map = pathMap(options.map ?? [])
  const made = new Map<string, unknown>()
  const situation: Situation = {
    images,
    model,
    path: map,
    networkNamespace: options.networkNamespace,
    once: <T>(name: string, make: () => T) => {
      if (!made.has(name)) made.set(name, make())
      return made.get(name) as T
    },
    warn: (problem) => {
      warnings.push(problem)
    },
  }
  const kindOf = kindFinder(options.kinds ?? builtInKinds)
  const openers = prepare(situation, kindOf, options)
  const list = new OpList()
  const openerOf = new Map(openers.map(({ file, task }) => [file, task]))
  const planner = new Planner(list, situation, kindOf, openerOf)
  enterNamespace(planner, options.networkNamespace)
  const inherited = openers.filter(({ task }) => task === undefined).map(({ file }) => file)
  addLocks(planner)
  for (const file of inherited) planner.nodeOf(file)
  const terminals = controllingTerminals(situation)
  const forkers = forkersOf(situation)
  warnings.push(...forkers.warnings)
  new Family(planner, model.tasks, { keepPids: options.keepPids ?? true, inherited, terminals, forkers })
  // First the processes, as far as they need no file of their own: then no file has to wait for them.
  planner.advance()
  for (const { file } of openers) planner.nodeOf(file)
  if (!planner.run()) throw new RestoreError(planner.problems)
  addEnding(planner, options.commands ?? new Map<number, Command>())
  if (planner.problems.length > 0) throw new RestoreError(planner.problems)
  return { model, nodes: planner.nodes, program: programOf(model, list, planner), warnings }
}

function prepare(
  situation: Situation,
  kindOf: (file: File) => FileKind | undefined,
  options: PlanOptions,
): readonly Opener[] {
  const problems = [
    ...checkNamespace(options.networkNamespace),
    ...checkMachine(situation.model, options.keepPids ?? true),
  ]
  for (const file of filesInUse(situation)) {
    const kind = kindOf(file)
    if (kind === undefined) problems.push(unknownKind(file))
    else problems.push(...(kind.check?.(file, situation) ?? []))
  }
  problems.push(...checkLocks(situation), ...forkersOf(situation).problems)
  const openers = chooseOpeners(situation, kindOf, problems)
  if (problems.length > 0) throw new RestoreError(problems)
  return openers
}

/** Those that a table holds, that are in flight, or that a process works in; others only have a name for these. */
function filesInUse({ model, images }: Situation): Set<File> {
  const inFlight = images.packets.flatMap(({ entry }) => entry.scm.flatMap(({ rights }) => rights))
  const places = model.tasks.flatMap(({ surroundings }) => [surroundings.root, surroundings.workingDirectory])
  const others = [...inFlight.map((id) => model.files.get(id)), ...places]
  const held = [...model.files.values()].filter(({ fles }) => fles.length > 0)
  return new Set([...held, ...others.filter((file) => file !== undefined)])
}

function kindFinder(kinds: readonly FileKind[]): (file: File) => FileKind | undefined {
  const byType = new Map<number, FileKind[]>()
  for (const kind of kinds) {
    for (const type of kind.types) byType.set(type, [kind, ...(byType.get(type) ?? [])])
  }
  return (file) => byType.get(file.type)?.find((kind) => kind.matches?.(file) ?? true)
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

function programOf(model: Model, list: OpList, planner: Planner): Program {
  const reserved = new Set<number>()
  const tasks = model.tasks.map(({ pid, table, index }) => {
    const own = table.owner.index === index
    const targets = own ? table.fles.map(({ fd }) => fd) : undefined
    for (const fd of targets ?? []) reserved.add(fd)
    return { pid, targets }
  })
  // Before the blobs are taken: it adds to them.
  const { undo } = list
  return {
    tasks: [{ pid: 0, targets: undefined }, ...tasks],
    ops: list.ops,
    slots: list.slots,
    undo,
    reserved: [...reserved].sort((one, other) => one - other),
    blobs: list.blobs,
    units: planner.nodes.map(({ label }) => label),
  }
}
