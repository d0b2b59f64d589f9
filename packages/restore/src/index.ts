export { RestoreError, type Problem } from './errors.ts'
