/**
 * What is there already is given at once, by promises that are resolved: a peer that never stops would keep the event
 * loop from everything else. So many a turn, of all sockets of this thread, and the rest in the next.
 */
const MOST = 64
let left = MOST
let renewing = false

/** Whether one more may be given in this turn. */
export function mayGoOn(): boolean {
  if (left === 0) return false
  left--
  if (!renewing) {
    renewing = true
    setImmediate(() => {
      left = MOST
      renewing = false
    })
  }
  return true
}

/** In the next turn of the event loop. */
export function nextTurn(run: () => void): void {
  setImmediate(run)
}
