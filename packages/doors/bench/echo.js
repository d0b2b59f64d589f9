// The procedure of all measured doors: for a pool, whose threads load it, and for an event loop.
export default (data) => data ?? undefined
