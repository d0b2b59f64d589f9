import { Fd } from '@x/fdpass'
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

const gone = (): DoorError => new DoorError(E.EINVAL, 'door_ucred', { detail: 'the caller has gone' })

/** Of a session. Throws DoorError EINVAL when the caller has gone. */
export function callerOf(session: number): Caller {
  const peer = binding.sessionPeer(session)
  if (typeof peer === 'number') throw gone()
  const [pid = 0, uid = 0, gid = 0, ...groups] = Array.from(peer, (number) => number >>> 0)
  return {
    pid,
    uid,
    gid,
    groups,
    pidfd: () => {
      const fd = binding.sessionPidfd(session)
      if (fd >= 0) return Fd.from(fd)
      throw fd === E.EMFILE ? new DoorError(fd, 'door_ucred') : gone()
    },
  }
}
