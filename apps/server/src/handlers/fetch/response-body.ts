import type { ResponseLike } from '../../handler.ts'

type Reading = ReturnType<ReadableStreamDefaultReader<Uint8Array>['read']>

/**
 * The body of a Response as the server takes it. What is there at once, as of every Response that was made of a text,
 * goes as a whole and with its length; any other is a stream.
 *
 * Rejects when the stream breaks before its first piece, so that the client can be told.
 */
export async function responseBody(stream: ReadableStream<Uint8Array>): Promise<ResponseLike['body']> {
  const reader = stream.getReader()
  const reading: Reading[] = []
  const read = (): Reading => {
    const next = reader.read()
    // It is looked at later, or never when the client has gone.
    next.catch(() => undefined)
    reading.push(next)
    return next
  }
  let immediate: NodeJS.Immediate | undefined
  const turn = new Promise<undefined>((resolve) => {
    immediate = setImmediate(() => {
      resolve(undefined)
    })
  })
  const first = await Promise.race([read(), turn])
  if (first === undefined) return new Pieces(reader, reading)
  if (first.done) {
    clearImmediate(immediate)
    return null
  }
  // What breaks from here on breaks off.
  const second = await Promise.race([read(), turn]).catch(() => undefined)
  clearImmediate(immediate)
  return second?.done === true ? first.value : new Pieces(reader, reading)
}

/** The pieces of a stream of which some are being read already. */
class Pieces implements AsyncIterableIterator<Uint8Array> {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #reading: Reading[]

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, reading: Reading[]) {
    this.#reader = reader
    this.#reading = reading
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const piece = await (this.#reading.shift() ?? this.#reader.read())
    return piece.done ? { done: true, value: undefined } : { done: false, value: piece.value }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this.#reader.cancel()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
