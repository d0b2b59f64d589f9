import { abandon, monotonicNow } from './connections.ts'
import { clientGone, Http1Error, optionError } from './errors.ts'
import { HeaderLines } from './header-lines.ts'
import { CONTROL, counterNames, ENTRY, ENTRY_STRIDE, KIND, LENGTH, LENGTH_STRIDE, OUTCOME } from './layout.ts'
import { completeLimits, completeTimeouts, type Limits, type Timeouts } from './limits.ts'
import { Memory } from './memory.ts'
import type { Readiness } from './readiness.ts'
import { type HttpRequest, Request, type RequestContext } from './request.ts'
import { discardBody, type ResponseLike } from './response.ts'
import { expectTrailers } from './response-trailers.ts'
import { ResponseQueue, type StreamedResponse, type Transfer } from './response-queue.ts'
import { streamBody } from './stream-response.ts'
import { TextCache } from './text-cache.ts'
import { sendBytes, sendFile, type Wire } from './transfer.ts'

export interface EngineOptions extends Readiness {
  readonly limits?: Partial<Limits>
  readonly timeouts?: Partial<Timeouts>
  /** Requests held at once, 1 to 1024; what does not fit stays in its socket. Default 64. */
  readonly batch?: number
  /** counterNames.length doubles, which the engine adds to; on shared memory other threads can read them. */
  readonly counters?: Float64Array
  /** Called once when work was queued while nothing would flush it: call flush() soon. */
  readonly onPending?: () => void
}

const known = new Set(['limits', 'timeouts', 'batch', 'counters', 'readable', 'writable', 'onPending'])

function validate(options: EngineOptions): void {
  const unknown = Object.keys(options).find((name) => !known.has(name))
  if (unknown !== undefined) throw optionError(`An engine has no option ${unknown}.`)
  if (typeof options.readable !== 'function' || typeof options.writable !== 'function') {
    throw optionError('An engine needs the functions readable and writable, for it does not wait itself.')
  }
  const { batch = 64, counters } = options
  if (!Number.isInteger(batch) || batch < 1 || batch > 1024) {
    throw optionError(`The batch is a whole number from 1 to 1024, not ${batch}.`)
  }
  if (
    counters !== undefined &&
    !(counters instanceof Float64Array && counters.length >= counterNames.length)
  ) {
    throw optionError(`The counters are a Float64Array of at least ${counterNames.length} numbers.`)
  }
}

/**
 * HTTP/1.1 on the connections of one thread. The caller knows when descriptors are ready and says so; nothing
 * here waits. A turn is: read(), respond() to its requests, flush() until it returns 0, and after each of these
 * calls the lists: `rearm` goes back to the queue, `closing` is taken out of it and then closed.
 */
export class Engine {
  readonly #memory: Memory
  readonly #context: RequestContext
  readonly #queue: ResponseQueue
  readonly #options: EngineOptions
  readonly #timeouts: Timeouts
  #live: Request[] = []
  #inTurn = false
  #announced = false

  constructor(options: EngineOptions) {
    validate(options)
    const limits = completeLimits(options.limits)
    this.#timeouts = completeTimeouts(options.timeouts)
    this.#options = options
    this.#memory = new Memory(limits, this.#timeouts, options.batch ?? 64, options.counters)
    this.#context = {
      memory: this.#memory,
      texts: new TextCache(),
      readiness: options,
      bodyTimeout: this.#timeouts.body,
      bodyRate: limits.bodyRate,
    }
    this.#queue = new ResponseQueue(this.#memory, new HeaderLines(this.#memory.native))
  }

  /** Descriptors of the last accept(), as many as it returned. */
  get accepted(): Int32Array {
    return this.#memory.accepted
  }

  /** The errno (positive, 24 for EMFILE) that stopped the last accept() before the backlog was empty, or 0. */
  get acceptErrno(): number {
    return this.#memory.control[CONTROL.acceptErrno] ?? 0
  }

  /** Whether the last accept() has taken all that waited. */
  get backlogEmpty(): boolean {
    return this.#memory.control[CONTROL.backlogEmpty] === 1
  }

  /** Descriptors that go back to the queue after the last read() or flush(): `rearmCount` of them. */
  get rearm(): Int32Array {
    return this.#memory.rearm
  }

  get rearmCount(): number {
    return this.#memory.control[CONTROL.rearmCount] ?? 0
  }

  /** 1 beside a descriptor of `rearm` whose socket was emptied: its level need not be looked at again. */
  get rearmDrained(): Uint8Array {
    return this.#memory.rearmDrained
  }

  /** Descriptors to be taken out of every queue, then closed: `closingCount` of them after the last call. */
  get closing(): Int32Array {
    return this.#memory.closing
  }

  get closingCount(): number {
    return this.#memory.control[CONTROL.closingCount] ?? 0
  }

  get counters(): Float64Array {
    return this.#memory.counters
  }

  /**
   * Accepts at most `max` connections, non-blocking and CLOEXEC, and returns their number; `accepted` has their
   * descriptors. Connections that died in the backlog are skipped. See `acceptErrno` and `backlogEmpty`.
   */
  accept(listener: number, max: number): number {
    return this.#memory.native.accept(listener, Math.min(max, this.#memory.accepted.length))
  }

  /**
   * Reads the descriptors of the first `count` records of an event list (32 bytes each, FreeBSD's struct kevent)
   * whose filter is EVFILT_READ, and returns the number of complete requests. Forgets the requests and lists of
   * the call before.
   */
  read(events: ArrayBufferView, count: number): number {
    this.#detachLive()
    if (count > this.#memory.capacity) this.#memory.growEntries(count)
    const requests = this.#memory.native.read(events, count)
    this.#inTurn = requests > 0
    return requests
  }

  /** Request `index` of the last read() or flush(). */
  request(index: number): HttpRequest {
    const request = new Request(this.#context, (this.#memory.control[CONTROL.first] ?? 0) + index)
    this.#live.push(request)
    return request
  }

  /**
   * Queues the response; the next flush() writes it. Returns a promise only for a streamed body: it settles when
   * the body has been sent, or rejects with the error of the source or ERR_HTTP_CLIENT_GONE. Throws
   * ERR_HTTP_RESPONSE for a response that cannot be sent as it is (nothing is queued, its body is let go, another
   * can be given) and ERR_HTTP_ANSWERED for the second response to a request.
   */
  respond(request: HttpRequest, response: ResponseLike): Promise<void> | undefined {
    if (!(request instanceof Request) || request.memory !== this.#memory) {
      throw optionError('respond() takes a request that this engine made.')
    }
    if (request.answered) {
      throw new Http1Error('The request has been answered already.', { code: 'ERR_HTTP_ANSWERED' })
    }
    if (response.trailers !== undefined) expectTrailers(response.trailers)
    if (request.isGone) discardBody(response.body)
    const transfer = this.#push(request, request.isGone ? { status: 500 } : response)
    request.answered = true
    this.#announce()
    if (transfer?.stream !== undefined) return this.#stream(request, transfer.stream)
    request.complete()
    request.over()
    return undefined
  }

  /**
   * Writes what was queued and continues behind it: returns the number of requests that were waiting in
   * pipelines. Call it until it returns 0.
   */
  flush(): number {
    const queue = this.#queue
    const { native, control } = this.#memory
    this.#announced = false
    const { count, references, transfers, hasTransfers } = queue
    let requests = native.flush(count, references.length > 0 ? references : undefined, 0)
    if (hasTransfers || control[CONTROL.unfinished] !== 0) this.#settle(count, transfers)
    queue.reset()
    if (requests === 0 && control[CONTROL.wantsRoom] === 1) requests = this.#flushAnew()
    this.#inTurn = requests > 0
    return requests
  }

  /**
   * For an event that a timer forced: ends the connection when its deadline has really passed, with 408 when a
   * part of a head has come. The next flush() lists it as closing. An 'alive' one goes back to the queue.
   */
  expire(descriptor: number, nowMs: number = monotonicNow()): 'closed' | 'alive' {
    if (!this.#memory.native.expire(descriptor, nowMs)) return 'alive'
    this.#announce()
    return 'closed'
  }

  /**
   * For any event of a connection while connections are handed over (see setHandingOver()): takes it out of service
   * when it waits for a request. Its event is then nobody's, and must not reach read(). False: it has to be served on.
   */
  yield(descriptor: number): boolean {
    return this.#memory.native.yield(descriptor)
  }

  /** Its name in this process. */
  get id(): number {
    return this.#memory.native.id()
  }

  /** Connections that were yielded so far, by yield() or behind their response. */
  get yields(): number {
    return this.#memory.control[CONTROL.yields] ?? 0
  }

  /**
   * From now on it begins none of the requests that wait behind those in hand, and yields their connections instead
   * (see {@link yields}): for an engine whose thread is to end. The caller gives it no more events.
   */
  beginNoMore(): void {
    this.#memory.native.beginNoMore()
  }

  /** Requests that were delivered, and whose responses have not been handed to the kernel to their last byte. */
  get inHand(): number {
    return this.#memory.control[CONTROL.inHand] ?? 0
  }

  /**
   * Whether bytes of the connection were read and not parsed, as of one that was adopted: read() has to be given an
   * event of it although there is none. This engine has it in hand then (see heldBy()).
   */
  unparsed(descriptor: number): boolean {
    return this.#memory.native.unparsed(descriptor)
  }

  /** Closes a connection at once. It must be in no queue any more. False when it is none. */
  close(descriptor: number): boolean {
    return this.#memory.native.close(descriptor)
  }

  /** Closes all of `closing` in one call. */
  closeListed(): void {
    this.#memory.native.closeListed()
  }

  /** See the function abandon(). */
  abandon(descriptor: number): boolean {
    return abandon(descriptor)
  }

  // The arena is full of this turn's requests: they are copied out, and it is used again from its start.
  #flushAnew(): number {
    const { native } = this.#memory
    this.#detachLive()
    return native.flush(0, undefined, 1)
  }

  #detachLive(): void {
    const live = this.#live
    if (live.length === 0) return
    for (const request of live) request.detach()
    this.#live = []
  }

  #push(request: Request, response: ResponseLike): Transfer | undefined {
    try {
      return this.#queue.push(request, response)
    } catch (error) {
      discardBody(response.body)
      throw error
    }
  }

  #announce(): void {
    if (this.#inTurn || this.#announced) return
    this.#announced = true
    this.#options.onPending?.()
  }

  // Goes through the entries of a flush: what did not end with its entry is continued.
  #settle(count: number, transfers: readonly (Transfer | undefined)[]): void {
    const { entries } = this.#memory
    for (let i = 0; i < count; i += 1) {
      const transfer = transfers[i]
      const outcome = entries[i * ENTRY_STRIDE + ENTRY.outcome]
      if (outcome === OUTCOME.gone) transfer?.request.clientGone()
      if (transfer?.stream !== undefined) transfer.stream.headWritten()
      else if (outcome === OUTCOME.blocked) void this.#continue(i, transfer)
      else transfer?.file?.close()
    }
  }

  // Waits for the socket to take the rest of a response that did not fit.
  async #continue(index: number, transfer: Transfer | undefined): Promise<void> {
    const { entries, lengths } = this.#memory
    const descriptor = entries[index * ENTRY_STRIDE + ENTRY.descriptor] ?? -1
    const generation = entries[index * ENTRY_STRIDE + ENTRY.generation] ?? 0
    const progress = lengths[index * LENGTH_STRIDE + LENGTH.progress] ?? 0
    const wire = this.#wire(descriptor, generation, transfer?.request)
    try {
      if (transfer?.file !== undefined) await sendFile(wire, transfer.file, progress)
      else await sendBytes(wire, transfer?.bytes, progress)
      this.#queue.pushEnd(descriptor, generation, KIND.finish)
    } catch {
      // What went wrong is that the client is gone, or so slow that it counts as gone.
      transfer?.request.clientGone()
      this.#queue.pushEnd(descriptor, generation, KIND.abort)
    }
    transfer?.file?.close()
    this.#announce()
  }

  #wire(descriptor: number, generation: number, request: Request | undefined): Wire {
    return {
      memory: this.#memory,
      readiness: this.#options,
      writeTimeout: this.#timeouts.write,
      descriptor,
      generation,
      whenOver: request?.whenOver ?? neverOver,
    }
  }

  #stream(request: Request, stream: StreamedResponse): Promise<void> {
    const written = new Promise<void>((resolve) => {
      stream.headWritten = resolve
    })
    const sent = this.#sendStream(request, stream, written)
    // Who does not look at the promise need not be told that the client went away.
    sent.catch(ignore)
    return sent
  }

  async #sendStream(request: Request, stream: StreamedResponse, written: Promise<void>): Promise<void> {
    const { descriptor, generation } = request
    const wire = this.#wire(descriptor, generation, request)
    const drained = async (): Promise<void> => {
      if (request.isGone) throw clientGone()
      await sendBytes(wire)
    }
    try {
      await written
      const { body, length, chunked, trailers } = stream
      await streamBody(body, { request, length, chunked, trailers, drained })
      this.#queue.pushEnd(descriptor, generation, KIND.finish)
    } catch (error) {
      request.clientGone()
      this.#queue.pushEnd(descriptor, generation, KIND.abort)
      throw error
    } finally {
      request.complete()
      request.over()
      this.#announce()
    }
  }
}

function neverOver(): () => void {
  return ignore
}

function ignore(): void {
  // Nothing to do.
}
