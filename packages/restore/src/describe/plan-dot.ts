import type { Task } from '../model/task.ts'
import { groupsOf, type Group } from './groups.ts'
import { planGraph, type Planned } from './plan-graph.ts'
import { byStage, groupLabel, groupNumbers, processName } from './words.ts'

export interface DotOptions {
  /** Up to this many files are boxes of their own; of more, those that are equal are one box. Default 60. */
  readonly most?: number
}

const colours = {
  make: '#44546a',
  open: '#e8f1fb',
  inherit: '#f3f3f3',
  take: '#eaf6ea',
  step: '#fff6df',
  circle: '#d62728',
  line: '#8a8a8a',
} as const

const LEGEND = [
  'An arrow leads to what is waited for; a dashed one: only until that is open.',
  'Blue: opened here. Grey: inherited from the helper. Green: taken from another process. Yellow: what files need.',
].join('\n')

/**
 * A plan as a graph in Graphviz's language: a column for each process, a box for each file with its descriptors, in the
 * order of the stages from above; an arrow leads to what is waited for, dashed when it only has to be open. What is
 * in a circle is red.
 */
export function planDot(planned: Planned, { most }: DotOptions = {}): string {
  const groups = groupsOf(planGraph(planned), most)
  const names = new Map(groups.map((group, place) => [group, `b${place}`]))
  const columns = [undefined, ...planned.model.tasks]
    .map((task) => columnOf(task, groups))
    .filter(({ boxes, task }) => boxes.length > 0 || task !== undefined)
  const titles = columns.map(({ task }) => titleOf(task))
  return [
    'digraph plan {',
    `  graph [newrank=true, nodesep=0.15, ranksep=0.25, fontname="Arial", fontsize=9, labelloc=b, label=${quoted(LEGEND)}]`,
    `  node [shape=box, style="filled,rounded", fontname="Arial", fontsize=10, height=0.28, margin="0.18,0.04", color="${colours.line}"]`,
    `  edge [color="${colours.line}", arrowsize=0.6, dir=back]`,
    ...columns.map((column) => columnText(column, names)),
    `  { rank=same; ${titles.join(' -> ')} [style=invis] }`,
    ...groups.flatMap((group) => edgesOf(group, names)),
    '}',
    '',
  ].join('\n')
}

interface Column {
  readonly task: Task | undefined
  /** In the order of the stages. */
  readonly boxes: readonly Group[]
}

function columnOf(task: Task | undefined, groups: readonly Group[]): Column {
  const boxes = groups.filter(({ first }) => first.task === task && first.action !== 'make')
  return { task, boxes: boxes.sort(byStage) }
}

/** The box that stands for a process. */
function titleOf(task: Task | undefined): string {
  return task === undefined ? 'helper' : `process${task.pid}`
}

function columnText({ task, boxes }: Column, names: ReadonlyMap<Group, string>): string {
  const title = titleOf(task)
  const chain = [title, ...boxes.map((group) => names.get(group) ?? '')].join(' -> ')
  return [
    `  subgraph cluster_${title} {`,
    '    color="#c8c8c8"; style=rounded; label=""',
    `    ${title} [label=${quoted(processName(task))}, fillcolor="${colours.make}", fontcolor=white, penwidth=0]`,
    ...boxes.map((group) => `    ${names.get(group) ?? ''} [${attributes(group)}]`),
    ...(boxes.length > 0 ? [`    ${chain} [style=invis, weight=10]`] : []),
    '  }',
  ].join('\n')
}

function attributes(group: Group): string {
  const { action, isInCircle } = group.first
  const numbers = groupNumbers(group)
  const label = shortened(groupLabel(group))
  const parts = [
    `label=${quoted(numbers === '' ? label : `${numbers}   ${label}`)}`,
    `tooltip=${quoted(`${groupLabel(group)}, stage ${group.first.stages.open}`)}`,
    `fillcolor="${colours[action]}"`,
  ]
  if (action === 'take' || action === 'inherit') parts.push('style="filled,rounded,dashed"')
  if (isInCircle) parts.push(`color="${colours.circle}"`, 'penwidth=2')
  if (group.boxes.length > 1) parts.push('peripheries=2')
  return parts.join(', ')
}

/**
 * The one that is waited for stands above; the arrow leads to it. Where an inherited file comes from is said by its
 * colour.
 */
function edgesOf(group: Group, names: ReadonlyMap<Group, string>): string[] {
  const { action, isInCircle, task } = group.first
  if (action === 'inherit') return []
  const nameOf = (of: Group): string =>
    of.first.action === 'make' ? titleOf(of.first.task) : (names.get(of) ?? '')
  return group.waits.map(({ on, stage }) => {
    const parts: string[] = []
    if (stage === 'open') parts.push('style=dashed')
    // Beside each other: all processes begin at the top.
    if (action === 'make') parts.push('constraint=false')
    if (isInCircle && on.first.isInCircle) parts.push(`color="${colours.circle}"`, 'penwidth=2')
    const end = action === 'make' ? titleOf(task) : nameOf(group)
    return `  ${nameOf(on)} -> ${end}${parts.length === 0 ? '' : ` [${parts.join(', ')}]`}`
  })
}

const LONGEST = 44

/** A long label without its middle: the ends of a path say most. */
function shortened(label: string): string {
  if (label.length <= LONGEST) return label
  const kept = LONGEST - 1
  return `${label.slice(0, Math.ceil(kept / 2))}…${label.slice(-Math.floor(kept / 2))}`
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}
