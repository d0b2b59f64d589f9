/** What a thread of a pool runs that the pool has made by itself. */
import { workerData } from 'node:worker_threads'
import { bind } from './bound-thread.ts'
import type { PoolHandle } from './pool-handle.ts'

bind(workerData as PoolHandle)
