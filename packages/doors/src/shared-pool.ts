import { ServerPool } from './server-pool.ts'

/** On Solaris there is no bound; a thread of JavaScript takes some megabytes. */
const MOST_THREADS = 16

let current: ServerPool | undefined

/** The pool of all doors of this thread that have none of their own. It has one thread at first, and ends with the last of them. */
export function sharedPool(): ServerPool {
  current ??= new ServerPool({ min: 1, max: MOST_THREADS, grows: true, create: undefined }, () => {
    current = undefined
  })
  return current
}
