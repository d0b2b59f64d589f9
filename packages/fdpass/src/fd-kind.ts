/**
 * What a descriptor refers to. `path` is one that was opened with O_PATH, whatever it leads to; `socket` one that no
 * other name fits. Kinds that this package does not know are `anonymous:` and the kernel's name for them.
 */
export type FdKind =
  | 'file'
  | 'memfd'
  | 'directory'
  | 'block-device'
  | 'character-device'
  | 'tty'
  | 'pipe'
  | 'fifo'
  | 'path'
  | 'tcp'
  | 'tcp-listener'
  | 'udp'
  | 'unix-stream'
  | 'unix-stream-listener'
  | 'unix-seqpacket'
  | 'unix-seqpacket-listener'
  | 'unix-dgram'
  | 'socket'
  | 'eventfd'
  | 'epoll'
  | 'timerfd'
  | 'signalfd'
  | 'inotify'
  | 'fanotify'
  | 'pidfd'
  | 'io_uring'
  | 'userfaultfd'
  | 'bpf-map'
  | `anonymous:${string}`
