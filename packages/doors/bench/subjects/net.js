// net.Socket over a Unix path: a length in front of the bytes, in one write.
import { once } from 'node:events'
import { connect as connectSocket, createServer } from 'node:net'

const HEAD = 4

/** Calls `handle` with each whole frame, its head too. What comes in one chunk is not copied. */
const onFrame = (socket, handle) => {
  let frame
  let filled = 0
  const begin = (chunk) => {
    const length = HEAD + chunk.readUInt32LE(0)
    if (chunk.length === length) {
      handle(chunk)
      return
    }
    frame = Buffer.allocUnsafe(length)
    filled = chunk.copy(frame)
  }
  socket.on('data', (chunk) => {
    if (frame === undefined) {
      begin(chunk)
      return
    }
    filled += chunk.copy(frame, filled)
    if (filled < frame.length) return
    const whole = frame
    frame = undefined
    handle(whole)
  })
}

export const serve = async ({ path }) => {
  const server = createServer((socket) => {
    onFrame(socket, (frame) => socket.write(frame))
  }).listen(path)
  await once(server, 'listening')
}

export const connect = async ({ path }) => {
  const socket = connectSocket(path)
  await once(socket, 'connect')
  let settle
  onFrame(socket, (frame) => settle(frame))
  return {
    sync: false,
    prepare: (bytes) => {
      const head = Buffer.alloc(HEAD)
      head.writeUInt32LE(bytes.length)
      return Buffer.concat([head, bytes])
    },
    call: (frame) =>
      new Promise((resolve) => {
        settle = resolve
        socket.write(frame)
      }),
    bytesOf: (frame) => frame.subarray(HEAD),
  }
}
