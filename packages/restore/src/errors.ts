import { getSystemErrorMap } from 'node:util'

const brand: unique symbol = Symbol.for('@x/restore.RestoreError') as never

/** One thing that is wrong with an image, a plan or a run. */
export interface Problem {
  /** What is wrong, in one word for programs: `duplicate-fd`, `circle`, `bad-magic`. These words do not change. */
  readonly reason: string
  /** What is wrong and what to do, for people. */
  readonly message: string
  /** Name of the image file that says so. */
  readonly image?: string
  readonly pid?: number
  readonly fd?: number
  /** Id of the file in its image. */
  readonly file?: number
  /** Index of the node of the plan that failed. */
  readonly node?: number
}

interface Details {
  /** Negative, as the kernel gave it; EINVAL where nothing was asked of the kernel. */
  errno?: number
  syscall?: string
  cause?: unknown
}

const EINVAL = -22

/**
 * What every function of this package fails with. `code`, `errno` (negative) and `syscall` are as in Node's own system
 * errors; an image or a plan that is refused has the code EINVAL and all its {@link Problem}s. Branded, so that
 * `instanceof` holds between two copies of this package.
 */
export class RestoreError extends Error {
  override readonly name: string = 'RestoreError'
  readonly code: string
  readonly errno: number
  readonly syscall: string | undefined
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[], { errno = EINVAL, syscall, cause }: Details = {}) {
    super(problems.map(({ message }) => message).join('\n'), cause === undefined ? undefined : { cause })
    this.code = getSystemErrorMap().get(errno)?.[0] ?? `E${-errno}`
    this.errno = errno
    this.syscall = syscall
    this.problems = problems
    Object.defineProperty(this, brand, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value
  }
}
