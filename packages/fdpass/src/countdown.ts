/** The milliseconds that are left of a timeout, each time that it is called. */
export function countdown(timeout: number | undefined): () => number | undefined {
  const deadline = performance.now() + (timeout ?? 0)
  return () => (timeout === undefined ? undefined : Math.max(0, deadline - performance.now()))
}
