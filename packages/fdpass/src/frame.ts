import { Buffer } from 'node:buffer'
import { copyBytes } from './copy-bytes.ts'

/** The header of a frame: docs/man/fdpass-frame.md has the format. */
export const FRAME_HEADER = 16
/** "xfd" and the version. */
const MAGIC = 0x01646678
const nothing = Buffer.alloc(0)

/** Writes a header to the first 16 bytes of `view`. */
export function writeFrameHeader(view: DataView, length: number, descriptors: number): void {
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, length, true)
  view.setUint32(8, descriptors, true)
  view.setUint32(12, 0, true)
}

/** A frame that has arrived to its last byte. */
export interface Frame {
  data: Buffer
  descriptors: number[]
  /** How many descriptors the header promised. */
  promised: number
  /** Descriptors of it were lost on the way into this process. */
  damaged: boolean
  /** The receiver does not take so many descriptors; those that came are in {@link FrameDecoder.refused}. */
  refused: boolean
  /** How many of them these are. */
  closed: number
}

/**
 * Puts frames together from a stream of bytes, whatever the boundaries of its reads, and gives each the descriptors
 * that came with its own bytes.
 *
 * It relies on what the kernel does (unix(7); af_unix.c): a read ends behind the bytes of the sendmsg(2) whose
 * descriptors it brings, at the latest, though it may begin before them. So descriptors belong to the frame of the
 * read's last byte.
 */
export class FrameDecoder {
  /** What is wrong with the stream; nothing is decoded any more. */
  error: string | undefined
  /** Descriptors that nobody will get. Whoever pushes closes them. */
  readonly refused: number[] = []
  readonly #maxBytes: number
  readonly #maxFds: number
  readonly #header = Buffer.alloc(FRAME_HEADER)
  readonly #view: DataView = new DataView(this.#header.buffer, this.#header.byteOffset, FRAME_HEADER)
  #headerBytes = 0
  #frame: Frame = newFrame()
  #filled = 0

  constructor(maxBytes: number, maxFds: number) {
    this.#maxBytes = maxBytes
    this.#maxFds = maxFds
  }

  /** Whether the stream has been read into the middle of a frame. */
  get partial(): boolean {
    return this.#headerBytes > 0
  }

  /** Descriptors that the unfinished frame has. */
  get held(): readonly number[] {
    return this.#frame.descriptors
  }

  /** Where the rest of a long frame can be received without a copy, if that is worth it. */
  get rest(): Buffer | undefined {
    const LEAST = 16 * 1024
    if (this.#headerBytes < FRAME_HEADER || this.#frame.data.length - this.#filled < LEAST) return undefined
    return this.#frame.data.subarray(this.#filled)
  }

  /**
   * Takes the bytes of one read, the first `end` of `chunk`, and the descriptors that it brought; `damaged` when some
   * were lost. Returns the frames that are complete now. The bytes are copied, unless `chunk` is {@link rest}.
   */
  push(
    chunk: Uint8Array,
    descriptors: readonly number[],
    damaged: boolean,
    end: number = chunk.length,
  ): Frame[] {
    const frames: Frame[] = []
    let at = 0
    while (at < end && this.error === undefined) {
      at +=
        this.#headerBytes < FRAME_HEADER ? this.#takeHeader(chunk, at, end) : this.#takeData(chunk, at, end)
      if (this.#whole()) frames.push(this.#end())
    }
    const last = this.partial || this.error !== undefined ? this.#frame : frames.at(-1)
    this.#attach(last ?? this.#frame, descriptors, damaged)
    return this.#checked(frames)
  }

  /** The stream makes no sense from here on, for this reason. */
  fail(error: string): void {
    this.error = error
    this.end()
  }

  /** Ends the stream, and gives up the descriptors of a frame that has not come to its end. */
  end(): void {
    this.refused.push(...this.#frame.descriptors)
    this.#frame = newFrame()
  }

  #takeHeader(chunk: Uint8Array, at: number, end: number): number {
    const taken = Math.min(FRAME_HEADER - this.#headerBytes, end - at)
    copyBytes(chunk, at, at + taken, this.#header, this.#headerBytes)
    this.#headerBytes += taken
    if (this.#headerBytes === FRAME_HEADER) this.#readHeader()
    return taken
  }

  #readHeader(): void {
    const length = this.#view.getUint32(4, true)
    const promised = this.#view.getUint32(8, true)
    if (this.#view.getUint32(0, true) !== MAGIC) this.error = 'this is no header of a frame'
    else if (this.#view.getUint32(12, true) !== 0)
      this.error = 'the header of a frame has flags that are not known'
    else if (length > this.#maxBytes) this.error = `a frame has ${length} bytes, more than maxBytes`
    if (this.error !== undefined) return
    this.#frame.data = Buffer.allocUnsafe(length)
    this.#frame.promised = promised
    this.#frame.refused ||= promised > this.#maxFds
    if (this.#frame.refused) this.#refuse(this.#frame)
  }

  #takeData(chunk: Uint8Array, at: number, end: number): number {
    const { data } = this.#frame
    const taken = Math.min(data.length - this.#filled, end - at)
    // Their places first, which hardly ever agree: to ask for a buffer is a call into the engine.
    const there = chunk.byteOffset + at === data.byteOffset + this.#filled && chunk.buffer === data.buffer
    if (!there) copyBytes(chunk, at, at + taken, data, this.#filled)
    this.#filled += taken
    return taken
  }

  #whole(): boolean {
    return (
      this.error === undefined &&
      this.#headerBytes === FRAME_HEADER &&
      this.#filled === this.#frame.data.length
    )
  }

  #end(): Frame {
    const frame = this.#frame
    this.#frame = newFrame()
    this.#headerBytes = this.#filled = 0
    return frame
  }

  #attach(frame: Frame, descriptors: readonly number[], damaged: boolean): void {
    frame.damaged ||= damaged
    if (descriptors.length > 0) frame.descriptors = [...frame.descriptors, ...descriptors]
    if (frame === this.#frame) this.#checkUnfinished(frame)
    if (frame.refused) this.#refuse(frame)
  }

  #checkUnfinished(frame: Frame): void {
    const count = frame.descriptors.length
    // They can come before the header that promises them is whole.
    if (this.#headerBytes < FRAME_HEADER) frame.refused ||= count > this.#maxFds
    else if (!frame.refused && count > frame.promised) {
      this.error ??= 'more descriptors came with a frame than its header promises'
    }
  }

  #refuse(frame: Frame): void {
    frame.closed += frame.descriptors.length
    this.refused.push(...frame.descriptors.splice(0))
  }

  /** The frames before the first one that has not got what it was promised; that one is the end of the stream. */
  #checked(frames: Frame[]): Frame[] {
    const wrong = frames.find(
      (frame) => !frame.damaged && !frame.refused && frame.descriptors.length !== frame.promised,
    )
    if (wrong !== undefined) {
      this.error = `a frame promises ${wrong.promised} descriptors and has ${wrong.descriptors.length}`
      for (const frame of frames.splice(frames.indexOf(wrong))) this.refused.push(...frame.descriptors)
    }
    if (this.error !== undefined) this.end()
    return frames
  }
}

function newFrame(): Frame {
  return { data: nothing, descriptors: [], promised: 0, damaged: false, refused: false, closed: 0 }
}
