/** Calls between two looks at the clock. */
const LOOK = 16

/**
 * Calls for some time, one call after the other. Resolves with how many there were, and with µs of wall time for each.
 */
export const burst = async ({ sync, call }, request, descriptor, seconds) => {
  const begun = performance.now()
  const end = begun + seconds * 1000
  let [now, calls] = [begun, 0]
  while (now < end) {
    if (sync) for (let n = 0; n < LOOK; n++) call(request, descriptor)
    else for (let n = 0; n < LOOK; n++) await call(request, descriptor)
    calls += LOOK
    now = performance.now()
  }
  return { calls, wall: ((now - begun) * 1000) / calls }
}
