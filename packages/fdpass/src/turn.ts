/**
 * What is there already is given at once, by promises that are resolved: a peer that never stops would keep the event
 * loop from everything else. So many a turn, of all sockets of this thread, and the rest in the next. A turn is known
 * to be new where the loop itself calls; to ask it each time would cost a turn for every message.
 */
const MOST = 64
let left = MOST

/** Whether one more may be given in this turn. */
export function mayGoOn(): boolean {
  if (left === 0) return false
  left--
  return true
}

/** The loop has come round. */
export function beginTurn(): void {
  left = MOST
}

/** In the next turn of the event loop. */
export function nextTurn(run: () => void): void {
  setImmediate(() => {
    beginTurn()
    run()
  })
}
