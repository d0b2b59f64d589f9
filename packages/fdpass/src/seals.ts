import { binding } from './binding.ts'
import { EBUSY, EINVAL, EPERM } from './errno.ts'
import { FdPassError } from './errors.ts'
import { invalid } from './options.ts'

/**
 * What cannot be done to a file any more, by nobody (F_ADD_SEALS, fcntl(2)). `seal`: add seals. `shrink`, `grow`:
 * become shorter, longer. `write`: change, by write(2) or in memory. `future-write`: the same, but for memory that is
 * mapped already (Linux 5.1). `exec`: become executable, or not (Linux 6.3).
 */
export type Seal = 'seal' | 'shrink' | 'grow' | 'write' | 'future-write' | 'exec'

/** F_SEAL_* of each. */
const bits: Readonly<Record<Seal, number>> = {
  seal: 0x1,
  shrink: 0x2,
  grow: 0x4,
  write: 0x8,
  'future-write': 0x10,
  exec: 0x20,
}

/** What people can do about the errors of fcntl(2). */
const remedies: ReadonlyMap<number, string> = new Map([
  [EBUSY, 'memory of it that can be written is mapped; see future-write'],
  [EINVAL, 'a file on a disk has no seals: see memfd()'],
  [EPERM, 'it has the seal `seal`, or this descriptor is not open for writing'],
])

const names = Object.keys(bits) as Seal[]

/** The seals of a descriptor's file; one that this package does not know is `unknown:` and its bit. */
export function sealsOf(number: number): (Seal | `unknown:${number}`)[] {
  const seals = check(binding.seals(number))
  const found: (Seal | `unknown:${number}`)[] = names.filter((name) => (seals & bits[name]) !== 0)
  for (let bit = 0x40; bit <= 0x40000000; bit *= 2) if ((seals & bit) !== 0) found.push(`unknown:${bit}`)
  return found
}

export function addSeals(number: number, seals: readonly Seal[]): void {
  check(binding.addSeals(number, bitsOfSeals(seals)))
}

/** F_SEAL_* of names. Throws FdPassError EINVAL for one that is none. */
export function bitsOfSeals(seals: readonly Seal[]): number {
  let all = 0
  for (const name of seals) {
    if (!Object.hasOwn(bits, name))
      throw invalid('fcntl', `there is no seal ${name}; there are ${names.join(', ')}`)
    all |= bits[name]
  }
  return all
}

function check(result: number): number {
  if (result >= 0) return result
  throw new FdPassError(result, 'fcntl', { detail: remedies.get(result) })
}
