import type { FileKind } from './kind.ts'
import { epollKind } from './epoll.ts'
import { eventfdKind } from './eventfd.ts'
import { fanotifyKind } from './fanotify.ts'
import { fifoKind } from './fifo.ts'
import { inetKind } from './inet/kind.ts'
import { inotifyKind } from './inotify.ts'
import { memfdKind } from './memfd.ts'
import { netlinkKind } from './netlink.ts'
import { packetKind } from './packet.ts'
import { pipeKind } from './pipe.ts'
import { regularKind } from './regular.ts'
import { signalfdKind } from './signalfd.ts'
import { timerfdKind } from './timerfd.ts'

/** The kinds of files that this package restores. A list of your own may begin with them. */
export const builtInKinds: readonly FileKind[] = [
  regularKind,
  pipeKind,
  fifoKind,
  memfdKind,
  eventfdKind,
  epollKind,
  inetKind,
  packetKind,
  netlinkKind,
  signalfdKind,
  timerfdKind,
  inotifyKind,
  fanotifyKind,
]
