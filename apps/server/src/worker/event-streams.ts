import type { ResponseLike } from '../handler.ts'
import { ServerSentEvents } from '../handlers/server-sent-events/server-sent-events.ts'

/**
 * The event streams that one thread answers with. They have no end of their own, so when this process is to end they
 * are ended: the response is complete, its connection goes over to the next process, and the client asks again there.
 */
export class EventStreams {
  readonly #open = new Set<ServerSentEvents>()
  #ended = false

  /** Ends the response together with all others, if it is such a stream. */
  watch(response: ResponseLike): void {
    if (!(response instanceof ServerSentEvents) || response.closed.aborted) return
    if (this.#ended) {
      response.close()
      return
    }
    this.#open.add(response)
    response.closed.addEventListener('abort', () => this.#open.delete(response), { once: true })
  }

  /** Ends all of them, and those that come yet. */
  end(): void {
    this.#ended = true
    for (const stream of this.#open) stream.close()
  }
}
