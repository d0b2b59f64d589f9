export { measureTreeCpu, treeCpuSeconds } from './cpu.js'
export { median, ratio, table } from './table.js'
