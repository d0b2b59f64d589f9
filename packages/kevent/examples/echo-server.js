/**
 * An echo server: `node echo-server.js [port [threads [idle ms]]]`. Threads share one queue, each serving whatever
 * connection is due; the main thread accepts, closes, and by timers ends the connections that were idle too long.
 *
 * Limits: descriptors below 65 536; a client that sends without reading is cut off once the kernel's buffers are
 * full, since a thread neither waits for it nor keeps its bytes.
 */
import { readSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { EV_ADD, EV_DOD, EV_ENABLE, EV_FORCEOS, EV_KEEPUDATA, EV_RECEIPT } from '@x/kevent'
import { EVFILT_READ, KEventList, KQueue } from '@x/kevent'

/** The last event of a connection; EV_RECEIPT: the answer, be it ENOENT, takes the place of all others. */
const END = EV_FORCEOS | EV_KEEPUDATA | EV_RECEIPT

function accept(port = 0, threads = 2, idle = 10_000) {
  const kq = new KQueue()
  const lastUse = new Float64Array(new SharedArrayBuffer(8 * 65_536)) // by descriptor
  const open = new Map() // by number of connection: unlike descriptors, these are never given to another
  let accepted = 0
  const tearDown = (id) => {
    const { fd, socket, timer } = open.get(id)
    open.delete(id)
    clearTimeout(timer)
    kq.detach(fd) // before it is closed: only this thread closes, and only what no other thread has in hand
    socket.destroy()
  }
  const options = { workerData: { queue: kq.share(), lastUse } }
  for (let n = 0; n < threads; n++) new Worker(new URL(import.meta.url), options).on('message', tearDown)
  const look = (connection) => {
    const { fd } = connection
    const left = lastUse[fd] + idle - Date.now()
    if (left > 0) connection.timer = setTimeout(look, left, connection)
    // Whichever thread has the connection now, or gets it next, is told so, once, and nobody has it afterwards.
    else kq.kevent([{ ident: fd, filter: EVFILT_READ, flags: END }], 1)
  }
  // Paused, a socket keeps its descriptor open and reads nothing: the threads borrow the number.
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const { fd } = socket._handle
    const connection = { fd, socket, timer: undefined }
    open.set(++accepted, connection)
    lastUse[fd] = Date.now()
    connection.timer = setTimeout(look, idle, connection)
    kq.kevent([{ ident: fd, filter: EVFILT_READ, flags: EV_ADD | EV_DOD, udata: accepted }])
  })
  server.listen(port, () => console.log(`port ${server.address().port}`))
  process.on('SIGTERM', () => {
    console.log(`accepted ${accepted}, open ${open.size}, forced ${kq.counters().forced}`)
    process.exit()
  })
}

function serve({ queue, lastUse }) {
  const kq = KQueue.attach(queue)
  const [changes, events] = [new KEventList(1), new KEventList(1)]
  const buffer = Buffer.alloc(65_536)
  /** False when the connection is over. */
  const echo = (fd) => {
    try {
      const length = readSync(fd, buffer)
      return length > 0 && writeSync(fd, buffer, 0, length) === length
    } catch (error) {
      return error.code === 'EAGAIN' && error.syscall === 'read'
    }
  }
  for (let enabled = 0; ;) {
    if (kq.keventList(changes, enabled, events, 1) === 0) continue
    const fd = events.ident(0)
    const goesOn = echo(fd) && (events.flags(0) & EV_FORCEOS) === 0
    lastUse[fd] = Date.now()
    changes.set(0, fd, EVFILT_READ, EV_ENABLE | EV_KEEPUDATA)
    enabled = goesOn ? 1 : 0
    if (!goesOn) parentPort.postMessage(events.udata(0))
  }
}

if (isMainThread) accept(...process.argv.slice(2).map(Number))
else serve(workerData)
