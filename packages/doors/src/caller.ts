import type { Fd, FdSocket } from '@x/fdpass'
import { binding } from './binding.ts'
import { DoorError, E } from './errors.ts'

/** The immediate caller of a procedure, as the kernel knows it (door_ucred(3C)). */
export interface Caller {
  readonly pid: number
  /** Effective ones, of the moment at which the caller's thread has made its session. */
  readonly uid: number
  readonly gid: number
  /** Supplementary groups. */
  readonly groups: readonly number[]
  /** A pidfd of the process, whose number nobody else can get. The procedure's, to be closed. */
  pidfd(): Fd
}

/** Throws DoorError EINVAL when the caller has gone. */
export function callerOf(session: FdSocket): Caller {
  if (session.fd < 0) throw new DoorError(E.EINVAL, 'door_ucred', { detail: 'the caller has gone' })
  const { pid, uid, gid } = session.peer
  const groups = binding.groups(session.fd)
  return {
    pid,
    uid,
    gid,
    groups: typeof groups === 'number' ? [] : [...groups],
    pidfd: () => {
      if (session.fd < 0) throw new DoorError(E.EINVAL, 'door_ucred', { detail: 'the caller has gone' })
      return session.peerPidfd()
    },
  }
}
