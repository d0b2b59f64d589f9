import type { File } from '../../model/file.ts'
import type { Slot } from '../../program/op.ts'
import { AT_FDCWD } from '../flags.ts'
import type { Situation, StepContext } from '../kind.ts'
import { bound } from './listeners.ts'
import type { Binding } from './socket.ts'
import { unixOf } from './unix.ts'

const S_IFMT = 0o170000
const S_IFSOCK = 0o140000

/** Whether a file is the name of a socket, opened as such (O_PATH), and not the socket itself. */
export function isSocketName({ entry }: File): boolean {
  return ((entry.reg?.mode ?? 0) & S_IFMT) === S_IFSOCK
}

/** The name, where a socket of the images has it: so it comes into being with that socket. */
export function bindingNamed(file: File, situation: Situation): Binding | undefined {
  const path = situation.path(file.entry.reg?.name ?? '')
  if (!isSocketName(file)) return undefined
  const deleted = situation.once(
    'deleted names',
    () => new Set(situation.images.remaps.map(({ origId }) => origId)),
  )
  return unixOf(situation).names.lastBinding(path, deleted.has(file.id))
}

/** Opens such a name; undefined: call again. */
export function openSocketName(context: StepContext, binding: Binding, flags: number): Slot | undefined {
  if (!context.need(bound(context, binding), 'restored')) return undefined
  return context.ops.open('openat', [AT_FDCWD, { text: binding.hidden ?? '' }, flags, 0])
}
