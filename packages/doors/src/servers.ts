/** The owner's side of a door, as those who serve it know it. */
export interface Owner {
  /** No call runs any more, and it had asked to be told. */
  rest(): void
}

/** Who runs the procedures of doors: the event loop of the thread that made them, or a pool of threads. */
export interface Servers {
  /** Serves a door from now on, by its number. */
  join(door: number, owner: Owner): void
  /** The door has ended. */
  leave(door: number): void
  /** Takes the calls of a session from now on. */
  watch(session: number): void
  /** Calls of a session that no thread has taken yet fail with EBADF. */
  refuse(session: number): void
  /** Ends a session: its client finds it closed. */
  end(session: number): void
}
