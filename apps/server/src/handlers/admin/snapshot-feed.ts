import type { MountInfo } from '@x/mounttable'
import { codeOf, messageOf } from '../../errors.ts'
import type { MountSpec } from '../../handler.ts'
import type { ServerAccess } from '../server-access.ts'
import { ServerSentEvents } from '../server-sent-events/server-sent-events.ts'
import type { Snapshot } from './snapshot.ts'

/** Milliseconds between two snapshots, while somebody watches. */
const INTERVAL = 1000
/** Milliseconds until a browser asks again when the stream has ended. */
const RETRY = 250

/**
 * Sends snapshots to all who watch: one at each change of the mounts, and each second. It asks for one at a time,
 * however many watch, and for none when nobody does.
 */
export class SnapshotFeed {
  readonly #access: ServerAccess
  readonly #take: () => Promise<Snapshot>
  /** Each with whether it still has to take what was sent last. */
  readonly #watchers = new Map<ServerSentEvents, boolean>()
  #generation = 0
  #shown = ''
  #asking = false
  #askAgain = false
  #timer: NodeJS.Timeout | undefined
  #unlisten: (() => void) | undefined

  constructor(access: ServerAccess, take: () => Promise<Snapshot>) {
    this.#access = access
    this.#take = take
  }

  /** `generation` is the handler's own: when it is mounted no more, the stream ends, and the browser asks the next. */
  watch(
    generation: number,
    signal: AbortSignal | undefined,
    headers: Record<string, string>,
  ): ServerSentEvents {
    const events = new ServerSentEvents({ signal, headers })
    this.#generation = generation
    if (events.closed.aborted) return events
    this.#watchers.set(events, false)
    events.closed.addEventListener('abort', () => {
      this.#watchers.delete(events)
      if (this.#watchers.size === 0) this.#rest()
    })
    this.#begin()
    void events.send({ event: 'hello', data: '{}', retry: RETRY })
    void this.#ask()
    return events
  }

  close(): void {
    for (const events of this.#watchers.keys()) events.close()
  }

  #begin(): void {
    this.#timer ??= setInterval(() => void this.#ask(), INTERVAL).unref()
    this.#unlisten ??= this.#access.onMounts((mounts) => {
      // References and requests change all the time.
      const shown = mounts.map(nameOf).join('\n')
      if (shown === this.#shown) return
      this.#shown = shown
      void this.#ask()
    })
  }

  #rest(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#unlisten?.()
    this.#unlisten = undefined
  }

  async #ask(): Promise<void> {
    this.#askAgain = this.#asking
    if (this.#asking) return
    this.#asking = true
    try {
      const snapshot = await this.#take()
      this.#send('snapshot', snapshot)
      if (!this.#isMounted(snapshot)) this.close()
    } catch (error) {
      this.#send('trouble', { code: codeOf(error), message: messageOf(error) })
    }
    this.#asking = false
    if (this.#askAgain && this.#watchers.size > 0) void this.#ask()
  }

  #isMounted({ mounts }: Snapshot): boolean {
    return mounts.some(
      ({ generation, state }) => generation === this.#generation && (state === 'active' || state === 'init'),
    )
  }

  /** A slow client misses what it is too late for. */
  #send(event: string, content: object): void {
    const data = JSON.stringify(content)
    for (const [events, isBusy] of this.#watchers) {
      if (isBusy) continue
      this.#watchers.set(events, true)
      void events.send({ event, data }).then((goesOn) => {
        if (goesOn) this.#watchers.set(events, false)
      })
    }
  }
}

const nameOf = ({ prefix, host = '', generation, state }: MountInfo<MountSpec>): string =>
  `${prefix} ${host} ${generation} ${state}`
