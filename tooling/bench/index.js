export { measureTreeCpu, treeCpuSeconds } from './cpu.js'
export { compilePeer } from './peer.js'
export { median, ratio, table } from './table.js'
