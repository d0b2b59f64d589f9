import { getSystemErrorMap } from 'node:util'

export const EPERM = -1
export const ENOENT = -2
export const ESRCH = -3
export const EAGAIN = -11

/** `EPERM: operation not permitted`. */
export function textOf(errno: number): string {
  const [name, meaning] = getSystemErrorMap().get(errno) ?? [`errno ${-errno}`, 'unknown error']
  return `${name}: ${meaning}`
}

/** Whether what a system call of node:fs threw is one of these, by name. */
export function isSystemError(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
}
