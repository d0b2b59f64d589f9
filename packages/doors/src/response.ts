import type { Fd } from '@x/fdpass'

/** What a call has brought. */
export class Response implements Disposable {
  readonly data: Buffer
  /** The caller's, to be closed; closed with this unless they were taken. */
  readonly fds: readonly Fd[]

  /** @internal */
  constructor(data: Buffer, fds: readonly Fd[]) {
    this.data = data
    this.fds = fds
  }

  close(): void {
    for (const fd of this.fds) fd.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
