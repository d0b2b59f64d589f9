import { binding } from './binding.ts'
import { systemError } from './errors.ts'

/*
 * A process that has taken over connections may die soon, and the one that gave them away may still have them open. So that
 * it can go on with them, the new one keeps a ledger in memory that both have: how far it has got with each.
 */

/**
 * Begins a ledger for connections that were adopted, in the order in which they came, before any of them is served. While
 * it is kept, a connection that ends here ends for the client too, although the other process has it open. Returns
 * a descriptor of its memory for the other process; it is the caller's to close.
 * Throws EBADF for what is no connection, EMFILE, ENOMEM.
 */
export function openLedger(connections: Int32Array): number {
  const result = binding.openLedger(connections)
  if (result < 0) throw systemError('memfd_create', result)
  return result
}

/**
 * Has the ledger go on with one more. False when none is kept, or when it is full: that one cannot be taken back. Of what is no
 * connection, as of one that could not be adopted, it says that it is untouched.
 */
export function joinLedger(descriptor: number): boolean {
  return binding.joinLedger(descriptor)
}

/** The other process has let go: connections are this one's alone. */
export function closeLedger(): void {
  binding.closeLedger()
}

/**
 * Takes back yielded connections from a process that is dead. `connections`: in the order in which they were given to it;
 * `idle`: milliseconds for the next request of those that wait for one. What it had in hand is closed, for nobody knows how
 * far it had got. Returns those that go on, still yielded.
 * Throws EBADF and EINVAL for what is no ledger of so many; nothing has happened then.
 */
export function takeBack(ledger: number, connections: Int32Array, idle: number): Int32Array {
  const result = binding.takeBack(ledger, connections, idle)
  if (result < 0) throw systemError('takeBack', result, '. This is no ledger of another process.')
  return connections.subarray(0, result)
}
