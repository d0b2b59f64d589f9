import { threadId } from 'node:worker_threads'

/** Of this thread, in what threads of the process share; 0 is nobody. Node uses no number of a thread twice. */
export const threadKey: number = threadId + 1
