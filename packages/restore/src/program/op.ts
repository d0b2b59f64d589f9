/**
 * The program that the helper runs: one list of operations in one order for all tasks. A task runs those that are its
 * own, in that order, and waits only for operations of other tasks that stand before its own in the list. So no two
 * tasks can wait for each other.
 *
 * native/program.h holds the same numbers.
 */

/** Number of a task: 0 is the helper itself, which is the parent of the root of each tree. */
export type TaskIndex = number

/**
 * A descriptor of one task while the program runs, whatever its number is then. Slots are numbered through all tasks;
 * a slot belongs to the task that fills it.
 */
export type Slot = number

/**
 * What an argument of a system call stands for. In all other operations the place of an argument says that, and its kind
 * nothing; but of `store` args[1] has one.
 */
export const ARGUMENT = {
  /** The number itself. */
  value: 0,
  /** The number of the descriptor in this slot of the task. */
  slot: 1,
  /** The address of the blob at this offset of the program's blobs. */
  blob: 2,
  /** The process id of this task, in the helper's namespace; its pids may be new ones. */
  pid: 3,
  /** The address of zeroed memory of the task that starts at this offset, up to SCRATCH_SIZE; it keeps what an operation leaves. */
  scratch: 4,
  /** The address of two descriptor numbers, which go into the slots `out` and `out2`. */
  pair: 5,
  /** The address of the text "/proc/self/fd/N", N the number of the descriptor in this slot. */
  path: 6,
} as const

/** Bytes of memory that a task has for what system calls write. */
export const SCRATCH_SIZE: number = 64 * 1024

/** Of an operation that may fail, whatever the reason. */
export const ANY_ERROR = 0xffff_ffff

export const CODE = {
  /** A system call, `call` its number, with up to six arguments. */
  syscall: 0,
  /** The descriptor in slot args[0] gets the number args[1], and args[2] as FD_CLOEXEC; the slot stays its name. */
  move: 1,
  /** Another descriptor of it is made at the number args[1], with args[2] as FD_CLOEXEC. With `out` it has a slot, too. */
  copy: 2,
  /** Closes the descriptor in slot args[0]. */
  drop: 3,
  /** Fetches what is in slot args[1] of task args[0] into the slot `out` (pidfd_getfd). The filling of that slot has been waited for. */
  fetch: 4,
  /**
   * Slots from args[3] on name what was inherited from task args[0]: from its args[2] slots that are listed, as u32, at
   * blob args[1]. Every other descriptor that the task has is closed.
   */
  adopt: 5,
  /** Makes task args[0], with FORK flags args[1] and the wanted process id args[2], 0 for any. */
  fork: 6,
  /** Waits until operation args[1] (of the whole list) of task args[0] has been done. */
  wait: 7,
  /** Writes all args[2] bytes at blob args[1] to slot args[0]. */
  write: 8,
  /** Copies args[3] bytes (-1: to its end) at offset args[2] of the file named by blob args[1] to slot args[0], at offset args[4] there or, with -1, by write. */
  copyFile: 9,
  /**
   * sendmsg on slot args[0] with the flags args[5]: args[2] bytes at blob args[1]; rights are args[3] >> 32 slots,
   * listed as u32 at blob (args[3] & 0xffffffff); to the address at blob (args[4] & 0xffffffff) of args[4] >> 32
   * bytes, or 0 for none.
   */
  send: 10,
  /** Opens pseudoterminals until one has the index args[0]: its master goes into `out`. args[1] are the flags of open(2), and blob args[2] is the path of the multiplexer. */
  openPtmx: 11,
  /** Pidfds of one process, which has ended and been reaped, go into args[1] slots from args[2] on. Their flags are listed, as u32, at blob args[0]. */
  deadPidfds: 12,
  /** The end of what can be undone: waits until all tasks are here and the caller has said commit. Each task has one. */
  barrier: 13,
  /** Closes every descriptor of the task whose number is not in its list of targets. */
  sweep: 14,
  /** Ends the program of the task: executes blob args[0], with the argument vector and environment at blobs args[1] and args[2] (strings, each ended by NUL, the list by an empty one). Without it a task whose list ends pauses until it is killed. */
  exec: 15,
  /** Stores the value of argument args[1], args[2] bytes (4 or 8) of it, in the scratch at args[0]: for structures in which descriptors or process ids are. */
  store: 16,
  /** The struct itimerspec at blob args[1] goes to the start of the memory of the task, its value counted from what clock args[0] shows. */
  fromNow: 17,
} as const

export const FORK = {
  /**
   * The child shares the table of descriptors with the task that forks. Of tasks that share one only one may make
   * descriptors at a time: the kernel may give it a number, for a moment, that is another's target.
   */
  files: 1,
  /** It shares working directory, root and umask. */
  fs: 2,
  /** The parent of the child is the parent of the task that forks. */
  sibling: 4,
} as const

export const FLAG = {
  /** The result is a descriptor: it goes into the slot `out`. */
  out: 1,
  /** Where a descriptor is placed by `number` or `number2`, it is FD_CLOEXEC. The call itself has been told, too, if it can be. */
  cloexec: 2,
  cloexec2: 4,
  /** The result, masked with `mask`, has to be `expect`. */
  expect: 8,
  /** Another task waits for this one. */
  post: 16,
  /** A system call that may have to be undone: its state is kept, and there is one {@link Undo} of it. */
  undo: 32,
} as const

/** One argument: an ARGUMENT kind and its value. */
export interface Argument {
  readonly kind: number
  readonly value: number | bigint
}

export interface Op {
  readonly code: number
  readonly task: TaskIndex
  /** Index of what this is a part of, in the program's list of units: a name for people. */
  readonly unit: number
  /** Number of the system call. */
  readonly call?: number | undefined
  readonly flags?: number | undefined
  readonly args: readonly Argument[]
  readonly out?: Slot | undefined
  readonly out2?: Slot | undefined
  /** What is in `out` is placed at this number at once. */
  readonly number?: number | undefined
  readonly number2?: number | undefined
  /** This errno (positive), or any of them with ANY_ERROR, counts as success, with the result 0. */
  readonly tolerate?: number | undefined
  readonly expect?: bigint | undefined
  readonly mask?: bigint | undefined
}

export const UNDO = {
  /** Unlinks the path at blob a. All paths are absolute, and as the process sees them that has started the helper. */
  unlink: 0,
  /** Removes the folder at blob a. */
  rmdir: 1,
  /** Renames the path at blob a to the one at blob b. */
  rename: 2,
} as const

/**
 * How to take back what an operation with FLAG.undo did to the file system. The helper looks whether the name at blob
 * `a` exists before the operation and notes it: what was there before is never taken away.
 */
export interface Undo {
  /** Index of the operation. */
  readonly op: number
  /** Index of the operation that takes it back itself, 0xffffffff for none: when that is done, there is nothing to undo. */
  readonly until: number
  readonly kind: number
  readonly a: number
  readonly b: number
}
