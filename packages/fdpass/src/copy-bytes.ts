/** A call into the engine's own copy costs more than so many bytes. */
export const FEW_BYTES = 64

/** Copies bytes `at` to `end` of one array to another, from `place` on, where there is room for them. */
export function copyBytes(from: Uint8Array, at: number, end: number, to: Uint8Array, place: number): void {
  if (end - at > FEW_BYTES) to.set(from.subarray(at, end), place)
  else for (let i = at; i < end; i++) to[place + i - at] = from[i] as number
}
