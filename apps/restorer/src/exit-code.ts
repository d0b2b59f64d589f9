/** What the process says to who has started it; `restorer --help` tells the same. */
export const EXIT = {
  done: 0,
  /** Nothing is left behind. */
  failed: 1,
  usage: 2,
  /** The images are damaged, or cannot be restored here: nothing was begun. */
  refused: 3,
  /** The restore failed, and some of what it made could not be taken back. */
  left: 4,
} as const
