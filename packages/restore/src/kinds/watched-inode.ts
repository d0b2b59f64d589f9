import { lstatSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Problem } from '../errors.ts'
import { has, type FhEntry } from '../images/index.ts'
import { hasCapability } from '../plan/machine.ts'
import type { TaskOps, Value } from '../plan/task-ops.ts'
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH } from './flags.ts'
import type { Situation } from './kind.ts'

/** What a watch is on. */
export interface WatchedInode {
  readonly inode: bigint
  /** As the kernel numbers devices: the major number above 20 bits of the minor. */
  readonly device: number
  readonly handle: FhEntry
}

/** A mounted file system (proc(5), mountinfo). */
export interface Mount {
  readonly id: number
  readonly device: number
  readonly point: string
}

const CAP_DAC_READ_SEARCH = 2n

/** Whether it can be found, by the path that the image has of it, or by the handle that its file system knows it by. */
export function* checkInode(
  { device, handle, inode }: WatchedInode,
  what: string,
  situation: Situation,
): Iterable<Omit<Problem, 'image' | 'file'>> {
  const name = pathOf(handle, situation)
  if (name !== undefined) {
    if (lstatSync(name, { throwIfNoEntry: false }) !== undefined) return
    const message = `${what} watches ${name}, which is not there: bring it back first, or map its path`
    yield { reason: 'file-missing', message }
  } else if (mountOf(device, situation) === undefined) {
    const message = `${what} watches inode ${inode} of device ${deviceName(device)}, of which no path is known, and no such file system is mounted`
    yield { reason: 'file-missing', message }
  } else if (!hasCapability(CAP_DAC_READ_SEARCH)) {
    const message = `${what} watches inode ${inode}, of which no path is known: finding it needs CAP_DAC_READ_SEARCH`
    yield { reason: 'no-privilege', message }
  }
}

/** Has something done with the inode by a path; `isLink` tells that the path is that of a symbolic link which is watched itself. */
export function withInode(
  ops: TaskOps,
  situation: Situation,
  watched: WatchedInode,
  use: (path: Value, isLink: boolean) => void,
): void {
  const { device, handle, inode } = watched
  const name = pathOf(handle, situation)
  if (name !== undefined) {
    const found = lstatSync(name, { throwIfNoEntry: false, bigint: true })
    use({ text: name }, found?.isSymbolicLink() === true && found.ino === inode)
    return
  }
  const point = mountOf(device, situation)?.point ?? '/'
  const mount = ops.open('openat', [AT_FDCWD, { text: point }, O_DIRECTORY | O_CLOEXEC, 0])
  const slot = ops.open('open_by_handle_at', [
    { slot: mount },
    { bytes: handleBytes(handle) },
    O_PATH | O_CLOEXEC,
  ])
  use({ path: slot }, false)
  ops.drop(slot)
  ops.drop(mount)
}

/** Where it is now; undefined when the image does not say where it was. */
function pathOf(handle: FhEntry, { path }: Situation): string | undefined {
  return has(handle, 'path') && handle.path !== '' ? path(resolve('/', handle.path)) : undefined
}

/** A struct file_handle. */
function handleBytes({ bytes, type, handle }: FhEntry): Uint8Array {
  const words = Buffer.from(new BigUint64Array(handle).buffer)
  const made = Buffer.alloc(8 + bytes)
  made.writeUInt32LE(bytes, 0)
  made.writeInt32LE(type, 4)
  words.copy(made, 8, 0, bytes)
  return made
}

function mountOf(device: number, situation: Situation): Mount | undefined {
  return mounts(situation).find((mount) => mount.device === device)
}

/** All that are mounted here. */
export function mounts(situation: Situation): readonly Mount[] {
  return situation.once('mounts', () =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [id, , device, , point] = line.split(' ')
        const [major, minor] = (device ?? '').split(':').map(Number)
        if (id === undefined || point === undefined || major === undefined || minor === undefined) return []
        return [{ id: Number(id), device: major * 2 ** 20 + minor, point: unescape(point) }]
      }),
  )
}

/** A space, tab, newline or backslash is written in octal there. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}

function deviceName(device: number): string {
  return `${device >>> 20}:${device & 0xfffff}`
}
