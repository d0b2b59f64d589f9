import { has, type Ghost, type GhostFileEntry } from '../images/index.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_EXCL, O_WRONLY } from './flags.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFLNK = 0o120000
const S_IFREG = 0o100000
const AT_SYMLINK_NOFOLLOW = 0x100

export function isFolderGhost(ghost: Ghost | undefined): boolean {
  return ghost !== undefined && (ghost.entry.mode & S_IFMT) === S_IFDIR
}

/** Makes a file again that had been deleted, under a name. */
export function makeGhost(ops: TaskOps, ghost: Ghost, path: string): void {
  const { entry } = ghost
  const changes = { kind: 'create', path } as const
  const name = { text: path }
  switch (entry.mode & S_IFMT) {
    case S_IFREG:
      makeRegular(ops, ghost, path)
      return
    case S_IFDIR:
      ops.call('mkdirat', [AT_FDCWD, name, 0o700], { changes: { kind: 'createFolder', path } })
      break
    case S_IFLNK:
      ops.call('symlinkat', [{ text: entry.symlnkTarget }, AT_FDCWD, name], { changes })
      break
    default:
      ops.call('mknodat', [AT_FDCWD, name, entry.mode, has(entry, 'rdev') ? entry.rdev : 0], { changes })
  }
  ops.call('fchownat', [AT_FDCWD, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW])
  if ((entry.mode & S_IFMT) !== S_IFLNK) ops.call('fchmodat', [AT_FDCWD, name, entry.mode & 0o7777])
  const times = timesOf(entry)
  if (times !== undefined) ops.call('utimensat', [AT_FDCWD, name, { bytes: times }, AT_SYMLINK_NOFOLLOW])
}

function makeRegular(ops: TaskOps, ghost: Ghost, path: string): void {
  const flags = O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC
  const changes = { kind: 'create', path } as const
  const slot = ops.open('openat', [AT_FDCWD, { text: path }, flags, 0o600], { changes })
  fillGhost(ops, ghost, slot)
  ops.drop(slot)
}

/** Gives a file its content, with its holes, its owner, its mode and its times. */
export function fillGhost(ops: TaskOps, { entry, chunks }: Ghost, slot: Slot): void {
  for (const { at, data } of chunks) if (data.length > 0) ops.fill(slot, data, Number(at))
  if (has(entry, 'size')) ops.call('ftruncate', [{ slot }, entry.size])
  ops.call('fchown', [{ slot }, entry.uid, entry.gid])
  ops.call('fchmod', [{ slot }, entry.mode & 0o7777])
  const times = timesOf(entry)
  // Without a path, it is of the descriptor.
  if (times !== undefined) ops.call('utimensat', [{ slot }, 0, { bytes: times }, 0])
}

/** Two times for utimensat(2). */
function timesOf({ atim, mtim }: GhostFileEntry): Uint8Array | undefined {
  if (atim === undefined || mtim === undefined) return undefined
  const bytes = Buffer.alloc(32)
  for (const [place, { tvSec, tvUsec }] of [atim, mtim].entries()) {
    bytes.writeBigInt64LE(BigInt.asIntN(64, tvSec), place * 16)
    bytes.writeBigInt64LE(BigInt.asIntN(64, tvUsec) * 1000n, place * 16 + 8)
  }
  return bytes
}
