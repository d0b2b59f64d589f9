export { collect } from './collector/collect.ts'
export type { CollectOptions } from './collector/options.ts'
export { RestoreError, type Problem } from './errors.ts'
