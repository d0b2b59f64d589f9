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
