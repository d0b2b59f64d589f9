import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A thread's native handle on a queue. Counts are results; negative ones are errno values. */
export interface NativeHandle {
  /** 0, or the errno (positive) that the constructor met. */
  readonly error: number
  readonly id: number
  readonly consumer: number
  readonly descriptor: number
  /** To be set to 1 by whoever has received events: else they go back to the queue when this thread ends. */
  readonly seen: Uint8Array
  kevent(changes: Uint8Array, changeCount: number, events: Uint8Array, max: number, timeout: number): number
  /** Returns the number of the consumption, which the other two take. */
  consume(changes: Uint8Array, events: Uint8Array, callback: (count: number) => number): number
  stopConsuming(consumption: number): void
  ref(consumption: number, on: boolean): void
  adopt(descriptor: number): number
  closeDescriptor(descriptor: number): number
  detach(descriptor: number): number
  list(): Float64Array
  orphans(): Float64Array
  close(): void
  release(): void
}

interface Binding {
  /** Makes a queue that counts in `counters` (64 bytes, shared), or attaches to the one that does. */
  Handle: new (counters: Uint8Array, id?: number) => NativeHandle
}

const load = (): Binding => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const require = createRequire(import.meta.url)
  const built = `${root}native/build/Release/addon.node`
  try {
    return (require('node-gyp-build') as (folder: string) => Binding)(root)
  } catch (cause) {
    if (existsSync(built)) return require(built) as Binding
    throw new Error(
      `@x/kevent has no binary for ${process.platform}-${process.arch} (looked in ${root}prebuilds and at ${built}). ` +
        'Build it: npm i node-addon-api && npx -y node-gyp@12 rebuild -C node_modules/@x/kevent/native',
      { cause },
    )
  }
}

export const binding: Binding = load()
