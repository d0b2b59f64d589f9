import { BroadcastChannel } from 'node:worker_threads'

/** What threads of a pool, its owner among them, tell each other. */
export type PoolMessage =
  /** A thread serves from now on. It may have ended, and its slot be another's, when this is heard. */
  | { readonly type: 'bound'; readonly slot: number; readonly thread: number }
  | { readonly type: 'unbound'; readonly slot: number; readonly thread: number }
  /** No thread waits for calls any more. */
  | { readonly type: 'depleted' }
  /** No call of a door runs any more whose owner wants to know. */
  | { readonly type: 'rest' }
  /** A thread has ended that may have read of a caller that it has gone, and told nobody. */
  | { readonly type: 'ended' }
  | { readonly type: 'cancel'; readonly session: number; readonly sequence: number | undefined }

/** Reaches all threads of one pool but the one that posts. It keeps no thread alive. */
export class PoolChannel {
  readonly #channel: BroadcastChannel

  constructor(pool: string, received: (message: PoolMessage) => void) {
    this.#channel = new BroadcastChannel(pool)
    this.#channel.onmessage = (event) => {
      received((event as { data: PoolMessage }).data)
    }
    this.#channel.unref()
  }

  post(message: PoolMessage): void {
    this.#channel.postMessage(message)
  }

  close(): void {
    this.#channel.close()
  }
}
