import type { FileKind } from './kind.ts'
import { epollKind } from './epoll.ts'
import { eventfdKind } from './eventfd.ts'
import { fanotifyKind } from './fanotify.ts'
import { fifoKind } from './fifo.ts'
import { inetKind } from './inet/kind.ts'
import { inotifyKind } from './inotify.ts'
import { memfdKind } from './memfd.ts'
import { namespaceKind } from './namespace.ts'
import { netlinkKind } from './netlink.ts'
import { packetKind } from './packet.ts'
import { pidfdKind } from './pidfd.ts'
import { pipeKind } from './pipe.ts'
import { regularKind } from './regular.ts'
import { signalfdKind } from './signalfd.ts'
import { timerfdKind } from './timerfd.ts'
import { ttyKind } from './tty/tty.ts'
import { tunKind } from './tun.ts'
import { unsupportedKinds } from './unsupported.ts'
import { unixKind } from './unix/kind.ts'

/** The kinds of files that this package restores. A list of your own may begin with them. */
export const builtInKinds: readonly FileKind[] = [
  regularKind,
  pipeKind,
  fifoKind,
  memfdKind,
  eventfdKind,
  epollKind,
  unixKind,
  inetKind,
  packetKind,
  netlinkKind,
  signalfdKind,
  timerfdKind,
  inotifyKind,
  fanotifyKind,
  ttyKind,
  pidfdKind,
  namespaceKind,
  tunKind,
  ...unsupportedKinds,
]
