import { writeSync } from 'node:fs'
import { binding } from './binding.ts'
import { EIO } from './errno.ts'
import { FdPassError } from './errors.ts'
import { Fd } from './fd.ts'
import { checkFields, invalid } from './options.ts'
import { partsOf, type Payload } from './payload.ts'
import { bitsOfSeals, type Seal } from './seals.ts'

export interface MemfdOptions {
  /** Seals that are put on when the data is written; none, unless told. */
  seals?: readonly Seal[] | undefined
}

const LONGEST_NAME = 249

/**
 * A file in memory (memfd_create(2)), with data in it, at offset 0, and seals on it. It lives as long as somebody has a
 * descriptor or a mapping of it. The name is for people: /proc shows it. It can have seals, and is not executable where
 * the kernel knows how to say that (Linux 6.3: it has the seal `exec` then).
 *
 * Throws FdPassError: EINVAL (a name over 249 bytes or with a NUL, an unknown seal); EMFILE, ENFILE; ENOSPC, ENOMEM.
 */
export function memfd(name: string, data: Payload = '', options: MemfdOptions = {}): Fd {
  if (typeof name !== 'string' || name.includes('\0') || Buffer.byteLength(name) > LONGEST_NAME) {
    throw invalid('memfd_create', `the name is a string of at most ${LONGEST_NAME} bytes, without NUL`)
  }
  checkFields(options, ['seals'], 'memfd_create')
  const parts = partsOf(data, 'memfd_create')
  const seals = options.seals ?? []
  bitsOfSeals(seals)
  const number = binding.memoryFile(name)
  if (number < 0) throw new FdPassError(number, 'memfd_create')
  const fd = new Fd(number)
  try {
    let end = 0
    for (const part of parts) end = write(number, part, end)
    if (seals.length > 0) fd.addSeals(...seals)
    return fd
  } catch (error) {
    fd.close()
    throw error
  }
}

/** Writes without moving the offset, which whoever gets the descriptor shares. */
function write(number: number, bytes: Uint8Array, position: number): number {
  let done = 0
  try {
    while (done < bytes.length) {
      done += writeSync(number, bytes, done, bytes.length - done, position + done)
    }
  } catch (cause) {
    throw new FdPassError((cause as NodeJS.ErrnoException).errno ?? EIO, 'write', { cause })
  }
  return position + done
}
