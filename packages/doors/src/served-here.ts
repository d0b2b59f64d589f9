/** Doors of this thread, by their uniquifiers: who calls one of them and blocks would wait for itself. */
export const servedHere: Set<bigint> = new Set<bigint>()
