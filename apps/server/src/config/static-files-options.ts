import * as v from 'valibot'
import { show, strictObject, text, wholeNumber } from './strict-object.ts'

const boolean = v.boolean((issue) => `${show(issue.input)} is not true or false; write one of the two`)

const settings = {
  /** Name of the file that stands for its folder. */
  index: v.optional(text('the name of a file'), 'index.html'),
  /** Seconds that a cache may keep a file without asking again. */
  maxAge: v.optional(wholeNumber('a time in seconds', 0, 31_536_000), 0),
  /** Whether names that start with a dot are served. */
  dotfiles: v.optional(boolean, false),
}

/** The `options` of a mount with `static`: all but the folder. */
export const staticFilesSettings: v.GenericSchema<unknown, Omit<StaticFilesOptions, 'folder'>> = strictObject(
  settings,
)

export interface StaticFilesOptions {
  folder: string
  index: string
  maxAge: number
  dotfiles: boolean
}

/** The `options` of `builtin:static`. */
export const staticFilesOptions: v.GenericSchema<unknown, StaticFilesOptions> = strictObject({
  folder: text('the path of a folder'),
  ...settings,
})
