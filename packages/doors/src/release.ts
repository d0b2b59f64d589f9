import type { Fd, FdLike } from '@x/fdpass'

/** A descriptor that goes with a call or a reply: it stays its owner's, or is released (DOOR_RELEASE). */
export type SentFd = FdLike | Released

/** An Fd that is closed here once it has gone. */
export class Released {
  readonly fd: number
  readonly owner: Fd

  /** @internal */
  constructor(owner: Fd) {
    this.owner = owner
    this.fd = owner.fd
  }
}

/** Says of an Fd that it is given away: it is closed here when the call or the reply has gone, and not before. */
export function release(fd: Fd): Released {
  return new Released(fd)
}

export function closeReleased(fds: readonly SentFd[]): void {
  for (const fd of fds) if (fd instanceof Released) fd.owner.close()
}

/** Its number, borrowed; -1 when it is closed, or is none. */
export function numberOf(fd: SentFd): number {
  const number = typeof fd === 'number' ? fd : fd instanceof Released ? fd.owner.fd : fd.fd
  return Number.isInteger(number) && number >= 0 ? number : -1
}

/** Numbers of descriptors, borrowed; null for none. */
export const numbersOf = (fds: readonly SentFd[]): Int32Array | null =>
  fds.length === 0 ? null : Int32Array.from(fds, numberOf)
