/**
 * A helper that may read what its clients may not, and opens some of it for one of them:
 *
 * - `node privileged-helper.js serve SOCKET FOLDER UID`, as root: files of FOLDER, for that user;
 * - `node privileged-helper.js read SOCKET NAME`, as that user: prints the file.
 *
 * What crosses is a descriptor that is open for reading. The client never has the rights, and the helper never sees
 * what becomes of the bytes.
 */
import { constants } from 'node:fs'
import { join } from 'node:path'
import { Fd, FdSocket, listen } from '@x/fdpass'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** Opens a file of the folder, and nothing else: no path, no link, and no FIFO or device that bears the name. */
function open(folder, name) {
  if (!/^\w[\w.-]*$/.test(name)) throw new Error('that is no name of a file')
  const fd = Fd.open(join(folder, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  if (fd.kind === 'file') return fd
  fd.close()
  throw new Error('that is no file')
}

async function serveClient(socket, folder, uid) {
  for await (const { data } of socket) {
    try {
      if (socket.peer.uid !== uid) throw new Error('not for you')
      await socket.send('ok', [open(folder, data.toString())], { move: true })
    } catch (error) {
      await socket.send(error.code ?? error.message)
    }
  }
}

async function serve(path, folder, uid) {
  // Anybody may connect; who it was is the kernel's word. Clients send names, and no descriptors.
  const listener = listen(path, { type: 'seqpacket', mode: 0o666, rights: false, maxBytes: 255 })
  console.log('listening')
  for await (const socket of listener) {
    serveClient(socket, folder, Number(uid))
      .catch(() => {}) // a client that has gone is no error of the helper's
      .finally(() => socket.close())
  }
}

async function read(path, name) {
  const socket = await FdSocket.connect(path, { type: 'seqpacket', maxFds: 1, kinds: ['file'] })
  await socket.send(name)
  const message = await socket.recv({ timeout: 5000 })
  const [fd] = message.claim()
  socket.close()
  if (fd === undefined) throw new Error(`refused: ${message.data}`)
  const handle = await fd.toFileHandle()
  process.stdout.write(await handle.readFile())
  await handle.close()
}

const [command, ...rest] = process.argv.slice(2)
await (command === 'serve' ? serve(...rest) : read(...rest))
