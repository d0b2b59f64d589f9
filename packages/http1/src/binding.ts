import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A system call that failed, as native code reports it. */
export interface Failure {
  readonly syscall: string
  readonly errno: number
}

export interface NativeAddress {
  readonly host: string
  readonly port: number
  readonly family: 0 | 4 | 6
}

export interface NativeEngine {
  setQueue(
    entries: Int32Array,
    lengths: Float64Array,
    out: Uint8Array,
    rearm: Int32Array,
    rearmDrained: Uint8Array,
    closing: Int32Array,
  ): void
  addLine(line: Uint8Array): number
  accept(listener: number, most: number): number
  read(events: ArrayBufferView, count: number): number
  flush(count: number, references: readonly Uint8Array[] | undefined, recycle: 0 | 1): number
  readBody(descriptor: number, generation: number, into: Uint8Array): number
  takeTrailers(descriptor: number, generation: number): Buffer | undefined
  awaitBody(descriptor: number, generation: number, waiting: 0 | 1): void
  continue(descriptor: number, generation: number): void
  write(descriptor: number, generation: number, piece: Uint8Array, chunked: 0 | 1, last: 0 | 1): number
  resume(descriptor: number, generation: number, rest: Uint8Array): number
  resumeFile(descriptor: number, generation: number, file: number, at: number, left: number): number
  expire(descriptor: number, now: number): boolean
  yield(descriptor: number): boolean
  beginNoMore(): void
  unparsed(descriptor: number): boolean
  id(): number
  close(descriptor: number): boolean
  closeListed(): void
}

export interface NativeOptions {
  readonly head: number
  readonly requestTarget: number
  readonly headers: number
  readonly body: number
  readonly chunkExtensions: number
  readonly drain: number
  readonly batch: number
  readonly requestsPerConnection: number
  readonly headTimeout: number
  readonly idleTimeout: number
  readonly bodyTimeout: number
}

export interface ConnectionCounts {
  /** Connections that are open, in any state. */
  readonly open: number
  /** Between two requests, or before the first. */
  readonly idle: number
  /** A part of a head has been read. */
  readonly reading: number
  /** With a handler; the request body may still be arriving. */
  readonly handling: number
  /** The response waits for the socket to take more. */
  readonly writing: number
  /** Answered for the last time; what the client still sends is thrown away. */
  readonly closing: number
  /** Out of service, to go to another process. */
  readonly yielded: number
}

interface Binding {
  readonly NativeEngine: new (
    options: NativeOptions,
    arena: Uint8Array,
    records: Int32Array,
    fields: Int32Array,
    control: Int32Array,
    counters: Float64Array,
    accepted: Int32Array,
  ) => NativeEngine
  readonly layout: Readonly<Record<string, number | readonly number[]>>
  listen(host: string, port: number, path: string, backlog: number, reusePort: 0 | 1): number | Failure
  localAddress(descriptor: number): NativeAddress | Failure
  peerAddress(descriptor: number, generation: number): NativeAddress | Failure
  closeDescriptor(descriptor: number): number
  expired(now: number, out: Int32Array): number
  abandon(descriptor: number): boolean
  inHand(descriptor: number): boolean
  limitConnectionsPerAddress(most: number): void
  setHandingOver(on: 0 | 1): void
  yielded(out: Int32Array): number
  exportState(descriptor: number): Buffer | undefined
  adopt(descriptor: number, state: Uint8Array): number
  reinstate(descriptor: number): number
  release(descriptor: number): boolean
  heldBy(engine: number, out: Int32Array): number
  openLedger(connections: Int32Array): number
  joinLedger(descriptor: number): boolean
  closeLedger(): void
  takeBack(ledger: number, connections: Int32Array, idle: number): number
  now(): number
  connections(): ConnectionCounts
}

const packageRoot = fileURLToPath(new URL('..', import.meta.url))

function load(): Binding {
  const require = createRequire(import.meta.url)
  try {
    const nodeGypBuild = require('node-gyp-build') as (folder: string) => Binding
    return nodeGypBuild(packageRoot)
  } catch (cause) {
    try {
      return require(`${packageRoot}native/build/Release/addon.node`) as Binding
    } catch {
      throw new Error(
        `@x/http1 has no binary for ${process.platform}-${process.arch}: looked in ${packageRoot}prebuilds and ` +
          `${packageRoot}native/build/Release. Build it from source with: npm i node-addon-api && ` +
          'npx -y node-gyp@12 rebuild -C node_modules/@x/http1/native',
        { cause },
      )
    }
  }
}

export const binding: Binding = load()
