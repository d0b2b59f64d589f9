import { KEventError } from './errors.ts'
import type { KEventChange, KEventList } from './kevent-list.ts'

const fields = new Set(['ident', 'filter', 'flags', 'fflags', 'data', 'udata'])
const EINVAL = -22

const isInteger = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most

/** Writes changes as records. Refuses, before anything is applied, what does not fit a record's field. */
export const writeChanges = (list: KEventList, changes: readonly KEventChange[]): void => {
  for (const [index, change] of changes.entries()) {
    const { ident, filter, flags = 0, fflags = 0, data = 0, udata = 0 } = change
    const fits =
      Number.isSafeInteger(ident) &&
      isInteger(filter, -0x8000, 0x7fff) &&
      isInteger(flags, 0, 0xffff) &&
      // Bitwise operators make NOTE_FFOR and NOTE_FFCOPY negative; the 32 bits are the same.
      isInteger(fflags, -0x80000000, 0xffffffff) &&
      Number.isSafeInteger(data) &&
      typeof udata === 'number' &&
      Object.keys(change).every((key) => fields.has(key))
    if (!fits) throw new KEventError(EINVAL, 'kevent')
    list.set(index, ident, filter, flags, fflags, data, udata)
  }
}
