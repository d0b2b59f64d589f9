import {
  DOOR_PARAM_DATA_MAX,
  DOOR_PARAM_DATA_MIN,
  DOOR_PARAM_DESC_MAX,
  DOOR_REFUSE_DESC,
  DOOR_REVOKED,
  type DoorParam,
} from './attributes.ts'
import { DoorError, E, invalid } from './errors.ts'
import type { DoorLimits, InfoPage } from './info-page.ts'

export const INT_MAX = 0x7fffffff

const fields: ReadonlyMap<DoorParam, keyof DoorLimits> = new Map([
  [DOOR_PARAM_DATA_MIN, 'dataMin'],
  [DOOR_PARAM_DATA_MAX, 'dataMax'],
  [DOOR_PARAM_DESC_MAX, 'descMax'],
])

function fieldOf(param: DoorParam, syscall: string): keyof DoorLimits {
  const field = fields.get(param)
  if (field === undefined) throw invalid(syscall, 'there is no such parameter')
  return field
}

/** Throws DoorError EINVAL for a parameter that there is not. */
export function paramOf(limits: DoorLimits, param: DoorParam): number {
  return limits[fieldOf(param, 'door_getparam')]
}

/** The limits with one changed, not looked at yet. Throws DoorError EINVAL for a parameter that there is not. */
export function withParam(limits: DoorLimits, param: DoorParam, value: number): DoorLimits {
  return { ...limits, [fieldOf(param, 'door_setparam')]: value }
}

/** 0, or the errno that a call is refused with, in the order of door_call(3C). */
export function refusal(page: InfoPage, length: number, descriptors: number): number {
  const { attributes } = page
  if ((attributes & DOOR_REVOKED) !== 0) return E.EBADF
  if (length < page.dataMin || length > page.dataMax) return E.ENOBUFS
  if (descriptors > 0 && (attributes & DOOR_REFUSE_DESC) !== 0) return E.ENOTSUP
  return descriptors > page.descMax ? E.ENFILE : 0
}

/** Throws DoorError EINVAL, ERANGE, ENOTSUP for limits that a door with these attributes cannot have. */
export function checkLimits(limits: DoorLimits, attributes: number, syscall: string): DoorLimits {
  for (const value of Object.values(limits)) {
    if (!Number.isSafeInteger(value) || value < 0) throw invalid(syscall, 'a limit is a whole number')
  }
  if (limits.descMax > INT_MAX) throw new DoorError(E.ERANGE, syscall)
  if (limits.descMax !== 0 && (attributes & DOOR_REFUSE_DESC) !== 0) throw new DoorError(E.ENOTSUP, syscall)
  if (limits.dataMin > limits.dataMax) throw invalid(syscall, 'the least is above the most')
  return limits
}
