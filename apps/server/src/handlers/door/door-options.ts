import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { show, strictObject, text, wholeNumber } from '../../config/strict-object.ts'

export interface DoorMountOptions {
  /** The name of the door: an absolute path, or an abstract name, which begins with NUL. */
  path: string
  /** Milliseconds that opening the door, and a call of it, may take. */
  timeout: number
}

/** The `options` of `builtin:door`. */
export const doorMountOptions: v.GenericSchema<unknown, DoorMountOptions> = strictObject({
  path: v.pipe(
    text('the path of a door'),
    v.check(
      (path) => isAbsolute(path) || path.startsWith('\0'),
      ({ input }) =>
        `${show(input)} is relative; write the absolute path of a door, or NUL and an abstract name`,
    ),
  ),
  timeout: v.optional(wholeNumber('a time in milliseconds', 1, 2_147_483_647), 30_000),
})
