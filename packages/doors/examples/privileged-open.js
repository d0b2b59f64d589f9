/**
 * A door that opens files for those who may not:
 *
 * - `node privileged-open.js serve DOOR FOLDER UID GID`, as root: files below FOLDER, for that user and that group;
 * - `node privileged-open.js read DOOR NAME`, as one of them: prints the file.
 *
 * Who calls is the kernel's word. What comes back is a descriptor that is open for reading: the caller never has the
 * rights, and the server never sees what is read. FOLDER and what is below it must be root's alone to write: a hard link
 * to another file, which somebody else has put there, is that file.
 */
import { constants } from 'node:fs'
import { createDoor, openDoor, release } from '@x/doors'
import { Fd } from '@x/fdpass'

const { O_NOFOLLOW, O_RDONLY } = constants
const O_PATH = 0o10000000

/**
 * Opens a file below the folder, as openat2(2) does with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS. Each step starts at the
 * descriptor of the last one and follows no link, so that nobody can get one in between a check and its use; and what
 * is found is looked at before it is opened, so that no FIFO blocks and no device is touched.
 */
function openBelow(folder, name) {
  const steps = name.split('/')
  if (steps.some((step) => ['', '.', '..'].includes(step) || step.includes('\0'))) {
    throw new Error('that is no path below the folder')
  }
  let place = Fd.open(folder, O_PATH)
  try {
    for (const step of steps) {
      const next = Fd.open(`/proc/self/fd/${place.fd}/${step}`, O_PATH | O_NOFOLLOW)
      place.close()
      place = next
      if (place.stat().isSymbolicLink()) throw new Error('links are not followed')
    }
    if (!place.stat().isFile()) throw new Error('that is no file')
    return place.reopen(O_RDONLY)
  } finally {
    place.close()
  }
}

function serve(path, folder, uid, gid) {
  const allowed = (caller) =>
    caller.uid === Number(uid) || [caller.gid, ...caller.groups].includes(Number(gid))
  const open = (data, { caller }) => {
    if (!allowed(caller)) throw new Error('not for you')
    try {
      return { fds: [release(openBelow(folder, data.toString()))] }
    } catch (error) {
      throw new Error(error.code ?? error.message, { cause: error }) // the message goes out, and no path
    }
  }
  const door = createDoor(open, { refuseDescriptors: true, dataMin: 1, dataMax: 4096 })
  door.attach(path, { mode: 0o666 })
  console.log('ready')
}

async function read(path, name) {
  const door = await openDoor(path)
  const answer = await door.call(name, { timeout: 5000 })
  const file = await answer.fds[0].toFileHandle()
  process.stdout.write(await file.readFile())
  await file.close()
  door.close()
}

const [command, ...rest] = process.argv.slice(2)
await { serve, read }[command](...rest)
