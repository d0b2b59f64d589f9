import { binding } from './binding.ts'
import { boundThread } from './bound-thread.ts'
import { DoorError, E } from './errors.ts'
import { infoOf, type DoorInfo } from './info-page.ts'

/**
 * The door that this thread is bound to (door_info(3C) of DOOR_QUERY): whose private pool it serves. Throws DoorError EBADF
 * when it is bound to none, or to the pool of several.
 */
export function currentDoor(): DoorInfo {
  const page = binding.doorPage(boundThread()?.door ?? 0)
  if (typeof page === 'number')
    throw new DoorError(E.EBADF, 'door_info', { detail: 'this thread is bound to no door' })
  return infoOf(page)
}
