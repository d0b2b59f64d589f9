export { collect } from './collector/collect.ts'
export type { CollectOptions } from './collector/options.ts'
export { RestoreError, type Problem } from './errors.ts'
export {
  readImage,
  readImages,
  writeImages,
  type Image,
  type ImageSet,
  type ReadOptions,
  type WriteOptions,
} from './images/index.ts'
export { examine, plan, type Examination, type Plan, type PlanOptions } from './plan/plan.ts'
export type { Command } from './plan/ending.ts'
export type { Mark, Need, PlanNode, Role, Stage } from './plan/node.ts'
export type { CallOptions, Message, NameChange, TaskOps, Value } from './plan/task-ops.ts'
export type { DescriptorTable, Surroundings, Task } from './model/task.ts'
export type { File, Fle } from './model/file.ts'
export type { Model } from './model/model.ts'
export { builtInKinds } from './kinds/built-in.ts'
export type {
  FileKind,
  OpenContext,
  OpenResult,
  Situation,
  StepContext,
  StepDefinition,
} from './kinds/kind.ts'
export type { Program, ProgramTask } from './program/program.ts'
export { describeImages } from './describe/images.ts'
export type {
  DescribeOptions,
  DescriptorDescription,
  FileDescription,
  ImagesDescription,
  ProcessDescription,
} from './describe/images.ts'
export { imageJson, type ImageDescription, type ImageValue } from './describe/image-json.ts'
export { planDot, type DotOptions } from './describe/plan-dot.ts'
export { planJson, type PlanDescription, type StepDescription } from './describe/plan-json.ts'
export { planText, type TextOptions } from './describe/plan-text.ts'
export type { Action, Planned } from './describe/plan-graph.ts'
export type { Argument, Op, Slot, TaskIndex, Undo } from './program/op.ts'
export type { TaskProgress } from './run/progress.ts'
export { run, type Held, type Run, type RunOptions } from './run/run.ts'
