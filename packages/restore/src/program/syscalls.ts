/** Those that a plan may use. */
export type Syscall =
  | 'accept4'
  | 'bind'
  | 'chdir'
  | 'chroot'
  | 'close'
  | 'connect'
  | 'dup3'
  | 'epoll_create1'
  | 'epoll_ctl'
  | 'epoll_pwait'
  | 'eventfd2'
  | 'fallocate'
  | 'fanotify_init'
  | 'fanotify_mark'
  | 'fchdir'
  | 'fchmod'
  | 'fchmodat'
  | 'fchown'
  | 'fchownat'
  | 'fcntl'
  | 'flock'
  | 'ftruncate'
  | 'getsockopt'
  | 'inotify_add_watch'
  | 'inotify_init1'
  | 'inotify_rm_watch'
  | 'ioctl'
  | 'linkat'
  | 'listen'
  | 'lseek'
  | 'memfd_create'
  | 'mkdirat'
  | 'mknodat'
  | 'open_by_handle_at'
  | 'openat'
  | 'pidfd_open'
  | 'pipe2'
  | 'ppoll'
  | 'prctl'
  | 'read'
  | 'recvfrom'
  | 'renameat2'
  | 'sendto'
  | 'setns'
  | 'setpgid'
  | 'setresuid'
  | 'setsid'
  | 'setsockopt'
  | 'shutdown'
  | 'signalfd4'
  | 'socket'
  | 'socketpair'
  | 'symlinkat'
  | 'timerfd_create'
  | 'timerfd_settime'
  | 'umask'
  | 'unlinkat'
  | 'utimensat'
  | 'write'

/**
 * Numbers of the system calls that plans are made of, by architecture (asm/unistd.h): x64, and arm64 with its generic
 * table. A call that one of them lacks is written as its `at` form, which both have.
 */
const numbers: Record<Syscall, readonly [number, number]> = {
  accept4: [288, 242],
  bind: [49, 200],
  chdir: [80, 49],
  chroot: [161, 51],
  close: [3, 57],
  connect: [42, 203],
  dup3: [292, 24],
  epoll_create1: [291, 20],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  eventfd2: [290, 19],
  fallocate: [285, 47],
  fanotify_init: [300, 262],
  fanotify_mark: [301, 263],
  fchdir: [81, 50],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchown: [93, 55],
  fchownat: [260, 54],
  fcntl: [72, 25],
  flock: [73, 32],
  ftruncate: [77, 46],
  getsockopt: [55, 209],
  inotify_add_watch: [254, 27],
  inotify_init1: [294, 26],
  inotify_rm_watch: [255, 28],
  ioctl: [16, 29],
  linkat: [265, 37],
  listen: [50, 201],
  lseek: [8, 62],
  memfd_create: [319, 279],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  open_by_handle_at: [304, 265],
  openat: [257, 56],
  pidfd_open: [434, 434],
  pipe2: [293, 59],
  ppoll: [271, 73],
  prctl: [157, 167],
  read: [0, 63],
  recvfrom: [45, 207],
  renameat2: [316, 276],
  sendto: [44, 206],
  setns: [308, 268],
  setpgid: [109, 154],
  setresuid: [117, 147],
  setsid: [112, 157],
  setsockopt: [54, 208],
  shutdown: [48, 210],
  signalfd4: [289, 74],
  socket: [41, 198],
  socketpair: [53, 199],
  symlinkat: [266, 36],
  timerfd_create: [283, 85],
  timerfd_settime: [286, 86],
  umask: [95, 166],
  unlinkat: [263, 35],
  utimensat: [280, 88],
  write: [1, 64],
}

const column = process.arch === 'arm64' ? 1 : 0

/** The number of a system call on this machine. */
export function syscallNumber(name: Syscall): number {
  return numbers[name][column]
}

const names = new Map(Object.entries(numbers).map(([name, row]) => [row[column], name]))

/** Its name, for messages. */
export function syscallName(number: number): string {
  return names.get(number) ?? `syscall ${number}`
}
