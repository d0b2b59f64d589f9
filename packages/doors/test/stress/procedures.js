/** What the doors of the stress do, in the event loop and in threads. */
import { setTimeout as delay } from 'node:timers/promises'
import { release } from '@x/doors'
import { count } from './counters.js'
import { Mode } from './doors.js'
import { decodeRequest, encodeReply, fileOf } from './message.js'

/** How long a procedure waits at most for a caller that has gone. */
const LONGEST = 10_000
const napping = new Int32Array(new SharedArrayBuffer(4))
const nap = (milliseconds) => Atomics.wait(napping, 0, 0, milliseconds)

const replyTo = (request, bytes, { fds, caller }) => ({
  data: encodeReply(request, bytes, fds, caller.pid),
  fds: [
    ...fds.slice(0, request.passed),
    ...Array.from({ length: request.replyFds }, (_, at) => release(fileOf(request, at, true))),
  ],
})

async function untilTold({ signal }) {
  count('waits')
  const end = AbortSignal.timeout(LONGEST)
  const told = await new Promise((resolve) => {
    if (signal.aborted) resolve(true)
    signal.addEventListener('abort', () => resolve(true), { once: true })
    end.addEventListener('abort', () => resolve(false), { once: true })
  })
  count(told ? 'signals' : 'notTold')
}

/** Of a door that tells nothing. */
async function undisturbed(context, milliseconds) {
  const { signal } = context
  await delay(milliseconds)
  if (signal.aborted || context.aborted) count('toldThoughSteady')
}

function blockUntilTold(context) {
  count('blocks')
  const end = performance.now() + LONGEST
  while (!context.aborted && performance.now() < end) nap(1)
  count(context.aborted ? 'blocksEnded' : 'notTold')
}

/** What takes a while; undefined for what is answered at once. */
function workOf({ mode, milliseconds, client, count: nonce }, context) {
  switch (mode) {
    case Mode.later:
      return delay(milliseconds)
    case Mode.fail:
      throw new Error(`${client} ${nonce}`)
    case Mode.wait:
      return context.cookie === 'steady' ? undisturbed(context, milliseconds) : untilTold(context)
    case Mode.block:
      blockUntilTold(context)
      break
    case Mode.nap:
      nap(milliseconds)
      break
    case Mode.exit:
      process.exit()
  }
  return undefined
}

async function finish(work, request, bytes, context) {
  try {
    await work
    // Who does not wait any more is not known either.
    return context.signal.aborted ? undefined : replyTo(request, bytes, context)
  } finally {
    count('ended')
  }
}

export default (data, context) => {
  count('begun')
  const request = decodeRequest(data)
  let work
  try {
    work = workOf(request, context)
    if (work === undefined && !context.aborted) return replyTo(request, data, context)
    if (work === undefined) return undefined
  } finally {
    if (work === undefined) count('ended')
  }
  // Bytes that are lent are another call's by then.
  return finish(work, request, data === null ? null : Buffer.from(data), context)
}
