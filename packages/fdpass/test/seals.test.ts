import { ftruncateSync, writeSync } from 'node:fs'
import { expect, test } from 'vitest'
import { memfd, type Seal } from '../src/index.ts'
import { openFd } from './fixtures/descriptors.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, failure } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const errorOf = (call: () => void): string | undefined => {
  try {
    call()
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
  return undefined
}

test('are named as they are put on, in the order of their bits', () => {
  const fd = own(memfd('x'))
  const before = fd.seals
  expect(before.filter((seal) => seal !== 'exec')).toEqual([])
  fd.addSeals('write', 'shrink')
  fd.addSeals('grow')
  expect(fd.seals).toEqual(['shrink', 'grow', 'write', ...before])
  fd.addSeals()
  fd.addSeals('grow')
  expect(fd.seals).toEqual(['shrink', 'grow', 'write', ...before])
})

test.each<[seal: Seal, refused: (number: number) => void, allowed: (number: number) => void]>([
  [
    'shrink',
    (n) => {
      ftruncateSync(n, 1)
    },
    (n) => {
      ftruncateSync(n, 100)
    },
  ],
  [
    'grow',
    (n) => {
      ftruncateSync(n, 100)
    },
    (n) => {
      ftruncateSync(n, 1)
    },
  ],
  [
    'write',
    (n) => writeSync(n, 'x', 0),
    (n) => {
      ftruncateSync(n, 1)
    },
  ],
  [
    'future-write',
    (n) => writeSync(n, 'x', 0),
    (n) => {
      ftruncateSync(n, 1)
    },
  ],
])('%s is the kernel’s to keep (EPERM)', (seal, refused, allowed) => {
  const fd = own(memfd('x', 'data'))
  fd.addSeals(seal)
  expect(
    errorOf(() => {
      refused(fd.fd)
    }),
  ).toBe('EPERM')
  expect(
    errorOf(() => {
      allowed(fd.fd)
    }),
  ).toBeUndefined()
})

test('seal ends the adding of seals: EPERM, and why', () => {
  const fd = own(memfd('x'))
  fd.addSeals('seal')
  const error = failure(() => {
    fd.addSeals('grow')
  })
  expect(error).toMatchObject({ code: 'EPERM', errno: -1, syscall: 'fcntl' })
  expect(error.message).toContain('it has the seal `seal`')
  expect(fd.seals).not.toContain('grow')
})

test('a descriptor that is open for reading adds none: EPERM', () => {
  const fd = own(memfd('x'))
  const reader = own(fd.reopen(0))
  expect(
    codeOf(() => {
      reader.addSeals('grow')
    }),
  ).toBe('EPERM')
  expect(reader.seals).toEqual(fd.seals)
})

test('write waits for no mapping: EBUSY, and future-write goes around it', async () => {
  const python = newPython()
  const fd = await python.fd(`import mmap
f = os.memfd_create("x", os.MFD_ALLOW_SEALING); os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); fds = [f]`)
  const error = failure(() => {
    fd.addSeals('write')
  })
  expect(error.code).toBe('EBUSY')
  expect(error.message).toContain('future-write')
  expect(fd.seals).not.toContain('write')
  fd.addSeals('future-write')
  await python.run('m[0] = 65')
  await expect(python.run('os.write(f, b"x")')).rejects.toThrow('not permitted')
})

test('are seen by every process that has the file', async () => {
  const python = newPython()
  const fd = await python.fd('f = os.memfd_create("x", os.MFD_ALLOW_SEALING); fds = [f]')
  fd.addSeals('grow')
  expect(await python.ask('fcntl.fcntl(f, 1034)')).toBe(4)
  await python.run('fcntl.fcntl(f, 1033, 2)')
  expect(fd.seals).toEqual(['shrink', 'grow'])
})

test('exec keeps the permissions to execute as they are (Linux 6.3)', async () => {
  const python = newPython()
  const fd = await python.fd('f = os.memfd_create("x", os.MFD_ALLOW_SEALING); fds = [f]')
  fd.addSeals('exec')
  expect(fd.seals).toContain('exec')
  await expect(python.run('os.fchmod(f, 0o600)')).rejects.toThrow('not permitted')
})

test('a memfd that was made without MFD_ALLOW_SEALING has the seal seal', async () => {
  const fd = await newPython().fd('fds = [os.memfd_create("x")]')
  expect(fd.seals).toEqual(['seal'])
})

test('a name that is none is refused before anything is sealed', () => {
  const fd = own(memfd('x'))
  const before = fd.seals
  const error = failure(() => {
    fd.addSeals('grow', 'growth' as Seal)
  })
  expect(error.code).toBe('EINVAL')
  expect(error.message).toContain('there is no seal growth; there are seal, shrink, grow, write')
  expect(fd.seals).toEqual(before)
})

test('what has no seals: EINVAL, and what has', () => {
  const fd = openFd('/dev/null', 'r+')
  const error = failure(() => fd.seals)
  expect(error.code).toBe('EINVAL')
  expect(error.message).toContain('see memfd()')
  expect(
    codeOf(() => {
      fd.addSeals('grow')
    }),
  ).toBe('EINVAL')
})

test('of a closed one: EBADF', () => {
  const fd = memfd('x')
  fd.close()
  expect(codeOf(() => fd.seals)).toBe('EBADF')
  expect(
    codeOf(() => {
      fd.addSeals('grow')
    }),
  ).toBe('EBADF')
})
