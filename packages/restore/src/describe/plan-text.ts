import type { Model } from '../model/model.ts'
import type { Task } from '../model/task.ts'
import { CODE } from '../program/op.ts'
import type { Program } from '../program/program.ts'
import { groupsOf, type Group, type GroupWait } from './groups.ts'
import { planGraph, type Action, type Planned } from './plan-graph.ts'
import { byStage, counted, few, groupLabel, groupNumbers, processName, stageName } from './words.ts'

export interface TextOptions {
  /** Up to this many files are listed one by one; of more, those that are equal share a line. Default 60. */
  readonly most?: number
}

/**
 * A plan for people: the stages, what each process opens, inherits, takes, sends and waits for, in order, and who waits
 * for whom. A stage is what waits for earlier stages only; it is no barrier: a process goes on as soon as it can.
 */
export function planText(planned: Planned, { most }: TextOptions = {}): string {
  const graph = planGraph(planned)
  const groups = groupsOf(graph, most)
  const sections = [
    summary(planned, graph.stages),
    section('Stages', stageLines(groups, graph.stages)),
    ...processSections(planned.model, groups),
    section('Who waits for whom', waitLines(groups)),
    section('At the end', endingLines(programOf(planned))),
  ]
  return sections.filter((text) => text !== '').join('\n')
}

function programOf(planned: Planned): Program | undefined {
  return 'program' in planned ? planned.program : planned.plan?.program
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}\n${lines.map((line) => `  ${line}\n`).join('')}`
}

function summary(planned: Planned, stages: number): string {
  const { tasks, tables } = planned.model
  const descriptors = tables.reduce((sum, { fles }) => sum + fles.length, 0)
  const files = new Set(tables.flatMap(({ fles }) => fles.map(({ file }) => file))).size
  const program = programOf(planned)
  const parts = [
    counted(tasks.length, 'process', 'processes'),
    `${counted(descriptors, 'descriptor')} of ${counted(files, 'file')}`,
    counted(stages, 'stage'),
    ...(program === undefined ? ['no program'] : [counted(program.ops.length, 'operation')]),
  ]
  return `${parts.join(', ')}\n`
}

const verbs: Readonly<Record<Action, string>> = {
  make: 'begins',
  open: 'opens',
  inherit: 'inherits',
  take: 'takes',
  step: 'sets up',
}

/** Of each stage: what happens in it, and in which processes. */
function stageLines(groups: readonly Group[], stages: number): string[] {
  const lines: string[] = []
  for (let stage = 0; stage <= stages; stage++) {
    const parts = stageParts(groups, stage)
    lines.push(...parts.map((part, place) => `${place === 0 ? String(stage).padStart(3) : '   '}  ${part}`))
  }
  return lines
}

function stageParts(groups: readonly Group[], stage: number): string[] {
  const counts = new Map<Task | undefined, Map<string, number>>()
  const count = ({ first, boxes }: Group, verb: string): void => {
    const own = counts.get(first.task) ?? new Map<string, number>()
    counts.set(first.task, own.set(verb, (own.get(verb) ?? 0) + boxes.length))
  }
  for (const group of groups) {
    const { action, stages } = group.first
    if (stages.open === stage) count(group, verbs[action])
    else if (stages.restored === stage) count(group, 'completes')
  }
  const doers = new Map<string, Task[]>()
  for (const [task, own] of counts) {
    const what = [...own]
      .map(([verb, number]) => (verb === verbs.make ? verb : `${verb} ${number}`))
      .join(', ')
    doers.set(what, [...(doers.get(what) ?? []), ...(task === undefined ? [] : [task])])
  }
  return [...doers].map(([what, tasks]) => `${tasksName(tasks)}: ${what}`)
}

/** `process 81`, `processes 81, 82`; the helper when there is none. */
function tasksName(tasks: readonly Task[]): string {
  if (tasks.length < 2) return processName(tasks[0])
  return `processes ${few(
    tasks.map(({ pid }) => String(pid)),
    4,
  )}`
}

function processSections(model: Model, groups: readonly Group[]): string[] {
  const takers = takersOf(groups)
  return [undefined, ...model.tasks].map((task) => {
    const own = groups.filter(({ first }) => first.task === task && isSaid({ first }))
    const ordered = own.sort(byStage)
    return section(
      titleOf(task),
      ordered.flatMap((group) => groupLines(group, takers.get(group) ?? [])),
    )
  })
}

/** That a process begins is said by its title, unless something has to happen before. */
function isSaid({ first }: Pick<Group, 'first'>): boolean {
  return first.action !== 'make' || first.waits.some(({ on }) => on.action !== 'make')
}

function titleOf(task: Task | undefined): string {
  if (task === undefined) return 'The helper, before there is a process'
  const parent = task.parent === undefined ? '' : `, child of ${task.parent.pid}`
  const { owner } = task.table
  return `Process ${task.pid}${parent}${owner === task ? '' : `, with the table of ${owner.pid}`}`
}

/** By the one that opens: those who take it. */
function takersOf(groups: readonly Group[]): Map<Group, Group[]> {
  const takers = new Map<Group, Group[]>()
  for (const group of groups) {
    if (group.first.action !== 'take') continue
    const from = group.waits[0]?.on
    if (from !== undefined) takers.set(from, [...(takers.get(from) ?? []), group])
  }
  return takers
}

function groupLines(group: Group, takers: readonly Group[]): string[] {
  const { action, stages } = group.first
  const stage = stages.open === stages.restored ? String(stages.open) : `${stages.open}, ${stages.restored}`
  const head = `${stage.padStart(5)}  ${verbs[action].padEnd(8)}  ${groupNumbers(group).padEnd(9)}  `
  const from = action === 'take' ? `, from ${processName(group.waits[0]?.on.first.task)}` : ''
  const to = takers.map(({ first }) => first.task).filter((task) => task !== undefined)
  const lines = [
    `${groupLabel(group)}${from}`,
    ...(to.length === 0 ? [] : [`sends it to ${tasksName([...new Set(to)])}`]),
    ...waitsIn(group),
  ]
  const indent = ' '.repeat(head.length)
  return lines.map((line, place) => `${place === 0 ? head : indent}${line}`)
}

const MOST_WAITS = 8

/** What it waits for; where a descriptor comes from is said already. */
function waitsIn({ first, waits }: Group): string[] {
  const others = first.action === 'take' || first.action === 'inherit' ? waits.slice(1) : waits
  const said = others.filter(({ on }) => first.action !== 'make' || on.first.action !== 'make')
  const shown = said.length > MOST_WAITS ? said.slice(0, MOST_WAITS) : said
  const rest = said.length - shown.length
  return [
    ...shown.map((wait) => `waits for ${awaited(wait, first.task)}`),
    ...(rest === 0 ? [] : [`waits for ${rest} more`]),
  ]
}

/** What is waited for, as seen from a process. */
function awaited({ on, stage }: GroupWait, from: Task | undefined): string {
  const { task, action } = on.first
  if (action === 'make') return processName(task)
  const numbers = groupNumbers(on)
  const name = numbers === '' ? groupLabel(on) : `${numbers} (${groupLabel(on)})`
  return `${name}${task === from ? '' : ` of ${processName(task)}`} to be ${stageName(stage)}`
}

/** Every wait between two processes. */
function waitLines(groups: readonly Group[]): string[] {
  const lines = groups.flatMap((group) => {
    if (group.first.action === 'inherit') return []
    return group.waits
      .filter(
        ({ on }) =>
          on.first.task !== group.first.task &&
          !(on.first.action === 'make' && group.first.action === 'make'),
      )
      .map((wait) => [placeOf(group), ` ── ${stageName(wait.stage)} ─▶ `, placeOf(wait.on)] as const)
  })
  const width = Math.max(0, ...lines.map(([waiter]) => waiter.length))
  return lines.map(([waiter, arrow, target]) => `${waiter.padEnd(width)}${arrow}${target}`)
}

function placeOf(group: Group): string {
  const numbers = groupNumbers(group)
  const { first } = group
  return `${processName(first.task)}: ${numbers === '' ? groupLabel(group) : `${numbers} ${groupLabel(group)}`}`
}

/** What comes last in every process: what a close would undo, the commit, and what cannot be taken back. */
function endingLines(program: Program | undefined): string[] {
  if (program === undefined) return []
  const swept = new Set<number>()
  const ended = new Set<number>()
  const before = new Map<string, Set<string>>()
  const after = new Map<string, Set<string>>()
  for (const { code, task, unit } of program.ops) {
    if (code === CODE.sweep) swept.add(task)
    else if (code === CODE.barrier) ended.add(task)
    else if (ended.has(task))
      note(code === CODE.exec ? 'executes its program' : (program.units[unit] ?? ''), task, after)
    else if (swept.has(task) && code !== CODE.wait) note(program.units[unit] ?? '', task, before)
  }
  function note(what: string, task: number, into: Map<string, Set<string>>): void {
    const { pid = 0 } = program?.tasks[task] ?? {}
    const name = pid === 0 ? 'the helper' : `process ${pid}`
    into.set(name, (into.get(name) ?? new Set()).add(what))
  }
  const list = (moment: string, what: ReadonlyMap<string, ReadonlySet<string>>): string[] =>
    [...what].map(([name, parts]) => `${moment}: ${name}: ${few([...parts], 4)}`)
  return [
    'every process closes what is not in its table',
    ...list('then', before),
    'commit: all processes are here, and nothing can fail any more but what follows',
    ...list('after it', after),
  ]
}
