import { clientGone } from './errors.ts'
import type { FileBody } from './file-body.ts'
import { CONTROL } from './layout.ts'
import type { Memory } from './memory.ts'
import { type Readiness, waitFor, type WhenOver } from './readiness.ts'

const NOTHING = new Uint8Array(0)

/** The writing end of a connection. */
export interface Wire {
  readonly memory: Memory
  readonly readiness: Readiness
  readonly writeTimeout: number
  readonly descriptor: number
  readonly generation: number
  readonly whenOver: WhenOver
}

// Throws when the client takes nothing for too long: it counts as gone.
async function waitWritable(wire: Wire): Promise<void> {
  const { readiness, descriptor, writeTimeout, whenOver } = wire
  const result = await waitFor(readiness.writable(descriptor), writeTimeout, whenOver)
  if (result !== 'ready') throw clientGone()
}

/** Sends `bytes` from `at` behind what waits already. Throws ERR_HTTP_CLIENT_GONE. */
export async function sendBytes(wire: Wire, bytes: Uint8Array = NOTHING, at = 0): Promise<void> {
  const { native, control } = wire.memory
  for (let done = at; ;) {
    const sent = native.resume(wire.descriptor, wire.generation, bytes.subarray(done))
    if (sent < 0) throw clientGone()
    if (control[CONTROL.stillBlocked] === 0) return
    done += sent
    await waitWritable(wire)
  }
}

/** Sends the file from `at` bytes behind its start on. Throws ERR_HTTP_CLIENT_GONE, also for a shorter file. */
export async function sendFile(wire: Wire, file: FileBody, at: number): Promise<void> {
  const { native, control } = wire.memory
  for (let done = at; ;) {
    const from = file.offset + done
    const left = file.length - done
    const sent = native.resumeFile(wire.descriptor, wire.generation, file.descriptor, from, left)
    if (sent < 0) throw clientGone()
    if (control[CONTROL.stillBlocked] === 0) return
    done += sent
    await waitWritable(wire)
  }
}
