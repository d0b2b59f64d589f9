import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { show, strictObject, text } from '../../config/strict-object.ts'

export interface AdminOptions {
  /** Path of the file with the password. */
  tokenFile: string
}

/** The `options` of `builtin:admin`. */
export const adminOptions: v.GenericSchema<unknown, AdminOptions> = strictObject({
  tokenFile: v.pipe(
    text('the path of a file with a token'),
    v.check(
      isAbsolute,
      ({ input }) => `${show(input)} is relative; write the absolute path of the token's file`,
    ),
  ),
})
