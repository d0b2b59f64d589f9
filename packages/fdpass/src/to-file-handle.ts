import { open, type FileHandle } from 'node:fs/promises'
import { checkKind, notAdopted, type Adoptable } from './adoption.ts'
import { binding } from './binding.ts'
import { EBADF } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { FdKind } from './fd-kind.ts'

/** Reading anything else can take for ever, in a thread that nothing can wake. */
const kinds: readonly FdKind[] = ['file', 'memfd', 'directory', 'block-device', 'character-device']

/**
 * Node makes FileHandles of paths alone. One is made of any path; dup3(2) then has its number refer to our description,
 * in one step, so that no other thread can get the number in between.
 */
export async function toFileHandle(fd: Adoptable): Promise<FileHandle> {
  checkKind(fd, kinds, 'FileHandle')
  const number = fd.fd
  const handle = await open('/dev/null').catch((cause: unknown) => {
    throw notAdopted('FileHandle', cause)
  })
  try {
    if (fd.fd !== number) {
      throw new FdPassError(EBADF, 'adopt', {
        detail: 'it was closed or taken while Node made the FileHandle',
      })
    }
    const error = binding.replace(number, handle.fd)
    if (error < 0) throw new FdPassError(error, 'dup')
    fd.close()
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}
