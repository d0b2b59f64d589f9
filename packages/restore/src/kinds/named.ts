import { statSync, lstatSync } from 'node:fs'
import { has, type RegFileEntry } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File } from '../model/file.ts'
import type { Slot } from '../program/op.ts'
import { checkDeleted, deletedFiles } from './deleted-files.ts'
import { AT_FDCWD, O_CLOEXEC, O_NOFOLLOW, O_PATH, onlyAtCreation } from './flags.ts'
import type { Situation, StepContext } from './kind.ts'
import { terminals } from './tty/terminal.ts'
import { openTemporary, temporaryFileOf } from './temporary-file.ts'
import { bindingNamed, openSocketName } from './unix/socket-name.ts'

/** What the image says of a file with a name. */
export const namedEntry = (file: File): RegFileEntry => file.entry.reg as RegFileEntry

/**
 * Opens a file by its name; a deleted one by the name that it has for the moment. Undefined: call again. The flags are
 * those of the image, unless others are given.
 */
export function openNamed(
  context: StepContext & { readonly cloexec: boolean },
  file: File,
  flags: number = namedEntry(file).flags,
): Slot | undefined {
  const { ops, need, path } = context
  const temporary = temporaryFileOf(file, context)
  if (temporary !== undefined) return openTemporary(context, file, temporary)
  const wanted = (flags & ~onlyAtCreation) | (context.cloexec ? O_CLOEXEC : 0)
  const binding = bindingNamed(file, context)
  if (binding !== undefined) return openSocketName(context, binding, wanted)
  const deleted = deletedFiles(context)
  const name = path(namedEntry(file).name)
  // Names are not what they were until all is open, where a deleted file needs one that somebody else has now.
  if (deleted.concerns(file, name) && !need(deleted.node(context), 'open')) return undefined
  return ops.open('openat', [AT_FDCWD, { text: deleted.pathOf(file, name) }, wanted, 0])
}

/** Whether the file is there, and as it was. */
export function checkNamed(file: File, situation: Situation): Iterable<Problem> {
  if (temporaryFileOf(file, situation) !== undefined || terminals(situation).isName(file)) return []
  if (bindingNamed(file, situation) !== undefined) return []
  if (deletedFiles(situation).has(file)) return checkDeleted(file, situation)
  const entry = namedEntry(file)
  const name = situation.path(entry.name)
  const fault = faultOf(entry, name, look(name, entry.flags, situation))
  return fault === undefined ? [] : [{ ...fault, image: 'files.img', file: file.id, ...placeOf(file) }]
}

function faultOf(
  entry: RegFileEntry,
  name: string,
  found: Found | undefined,
): Pick<Problem, 'reason' | 'message'> | undefined {
  if (found === undefined)
    return {
      reason: 'file-missing',
      message: `${name} is not there: bring it back first, or map its path`,
    }
  const changed = (message: string): Pick<Problem, 'reason' | 'message'> => ({
    reason: 'file-changed',
    message: `${name} ${message}`,
  })
  if (has(entry, 'mode') && entry.mode !== found.mode)
    return changed(`has the mode ${octal(found.mode)}, and had ${octal(entry.mode)}`)
  if (has(entry, 'size') && found.size !== undefined && found.size !== entry.size)
    return changed(`has ${found.size} bytes, and had ${entry.size}: it was changed since the dump`)
  return undefined
}

/** What there is of a name. */
interface Found {
  readonly mode: number
  /** Of a regular file. */
  readonly size: bigint | undefined
}

/** Each name is looked at once. */
function look(name: string, flags: number, { once }: Situation): Found | undefined {
  const isLink = (flags & O_PATH) !== 0 && (flags & O_NOFOLLOW) !== 0
  const seen = once(isLink ? 'links' : 'names', newNames)
  const known = seen.get(name)
  if (known !== undefined || seen.has(name)) return known
  const stats = (isLink ? lstatSync : statSync)(name, { throwIfNoEntry: false })
  const found = stats && { mode: stats.mode, size: stats.isFile() ? BigInt(stats.size) : undefined }
  seen.set(name, found)
  return found
}

function newNames(): Map<string, Found | undefined> {
  return new Map()
}

/** Where a descriptor of a file is, for a problem. */
export function placeOf(file: File): { pid?: number; fd?: number } {
  const [first] = file.fles
  return first === undefined ? {} : { pid: first.table.owner.pid, fd: first.fd }
}

function octal(mode: number): string {
  return mode.toString(8)
}
