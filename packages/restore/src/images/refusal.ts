import { RestoreError } from '../errors.ts'

/** Why an image is refused. The words for `reason` are listed at readImages. */
export function refusal(reason: string, image: string, message: string): RestoreError {
  return new RestoreError([{ reason, message: `${image}: ${message}`, image }])
}

export function refuse(reason: string, image: string, message: string): never {
  throw refusal(reason, image, message)
}

interface SystemError {
  readonly code: string
  readonly errno: number
  readonly syscall: string
}

const isSystemError = (error: unknown): error is SystemError =>
  error instanceof Error && 'code' in error && 'errno' in error && 'syscall' in error

/** What a call of the file system failed with, as an error of this package; other errors as they are. */
export function fileError(error: unknown, reason: string, image: string, path: string): unknown {
  if (!isSystemError(error)) return error
  const { code, errno, syscall } = error
  const message = `${image}: ${syscall} of ${path} failed with ${code}`
  return new RestoreError([{ reason, message, image }], { errno, syscall, cause: error })
}
