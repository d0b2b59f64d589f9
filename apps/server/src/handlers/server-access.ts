import type { MountInfo } from '@x/mounttable'
import type { MountSpec } from '../handler.ts'

/** What a handler of the server's own is given beyond the context that every handler has. */
export interface ServerAccess {
  /** Path of the control door. */
  readonly control: string
  /** Is told what is mounted whenever that may have changed, until the function that is returned is called. */
  onMounts(listener: (mounts: readonly MountInfo<MountSpec>[]) => void): () => void
}

/** For a handler that is loaded to see whether it can be. */
export const noServer: ServerAccess = { control: '', onMounts: () => () => undefined }
