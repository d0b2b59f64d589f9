/** How the owner of the event queue tells that a descriptor is ready. */
export interface Readiness {
  /** Resolves when the descriptor can be read. An engine has at most one such wait for a descriptor. */
  readable(descriptor: number): Promise<void>
  /** Resolves when the descriptor can be written. An engine has at most one such wait for a descriptor. */
  writable(descriptor: number): Promise<void>
}

/** How a wait ended. */
export type WaitResult = 'ready' | 'timeout' | 'over'

/** Registers what is called when waiting has become pointless; returns what takes it back. */
export type WhenOver = (end: () => void) => () => void

/**
 * Waits for `ready`, at most `milliseconds`, or until it is over. A rejection of `ready` counts as over: the
 * queue has been closed. Whatever comes first wins.
 */
export function waitFor(ready: Promise<void>, milliseconds: number, whenOver: WhenOver): Promise<WaitResult> {
  return new Promise((resolve) => {
    const finish = (result: WaitResult): void => {
      clearTimeout(timer)
      takeBack()
      resolve(result)
    }
    const end = (): void => {
      finish('over')
    }
    const timer = setTimeout(finish, milliseconds, 'timeout')
    const takeBack = whenOver(end)
    ready.then(() => {
      finish('ready')
    }, end)
  })
}
