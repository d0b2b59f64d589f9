import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { Fd, FdSocket } from '@x/fdpass'

if (process.argv[2] !== 'child') {
  const [near, far] = FdSocket.pair()
  spawn(process.execPath, [import.meta.filename, 'child'], { stdio: [0, 1, 2, far.fd] })
  far.close()
  await near.send('read this', [Fd.open(import.meta.filename, constants.O_RDONLY)], { move: true })
  near.close()
} else {
  for await (const message of FdSocket.from(3, { kinds: ['file'] })) {
    const [file] = message.fds // what is no file is closed, and an error
    console.log(`${message.data}: a ${file.kind} of ${file.stat().size} bytes`)
    message.close()
  }
}
