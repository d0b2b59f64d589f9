/** `node hand-over.js [port]`: connections are accepted by this process, and answered by another. */
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { FdSocket } from '@x/fdpass'

const answer = (socket) => {
  const body = `answered by ${process.pid}\n`
  socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
}

if (process.argv[2] === 'child') {
  // Descriptor 3 is one end of the pair: what comes over it are live connections.
  for await (const message of FdSocket.from(3)) {
    const [connection] = message.claim()
    const socket = connection.toSocket()
    socket.on('error', () => socket.destroy()).once('data', () => answer(socket))
  }
} else {
  const [near, far] = FdSocket.pair()
  const again = [fileURLToPath(import.meta.url), 'child']
  spawn(process.execPath, again, { stdio: ['ignore', 'inherit', 'inherit', far.fd] })
  far.close()
  // Paused, a socket has read nothing: all that the client sent is still in the kernel.
  const server = createServer({ pauseOnConnect: true }, async (socket) => {
    await near.send('a connection', [socket._handle])
    socket.destroy() // this process's descriptor of it; the other has one of its own
  })
  server.listen(Number(process.argv[2] ?? 0), () => {
    console.log(`port ${server.address().port} of ${process.pid}`)
  })
}
