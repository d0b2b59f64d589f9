import type { FdSocket } from '@x/fdpass'

/** A door of this thread, as a client in the same thread needs it, which may block where the door's packets would be read. */
export interface OwnDoor {
  /** Its procedure runs in the event loop of this thread: a blocking call would wait for itself. */
  readonly runsHere: boolean
  /** Lets in those who have connected to a name of it. */
  letIn(): void
  /** Begins a session, whose end it takes over. */
  admit(end: FdSocket, flags: number): void
}

/** Doors that this thread has made, by their uniquifiers. */
export const ownDoors: Map<bigint, OwnDoor> = new Map<bigint, OwnDoor>()
