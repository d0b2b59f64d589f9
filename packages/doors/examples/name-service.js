/**
 * A name server: programs leave their doors with it, under a name, and others find them there.
 *
 * - `node name-service.js serve PATH`: its one well-known door;
 * - `node name-service.js offer PATH NAME`: serves a door of its own, and leaves it there;
 * - `node name-service.js ask PATH NAME TEXT`: finds that door, and calls it. The name server has no part in the call.
 *
 * Who has a door is not told when its server goes: only the next call fails. So who registers gets a door in return, the
 * lease, and the name server is told when nobody has that any more (DOOR_UNREF): closed, exited or killed, it makes no
 * difference. That tells of the process which has registered. If it keeps the lease and revokes its door, the door's own
 * page says so; if only the thread that serves it ends, nobody knows before a call fails with EBADF.
 */
import { createDoor, DOOR_REVOKED, DoorClient, openDoor, release } from '@x/doors'

const registered = new Map()

function register(name, [fd]) {
  if (!name || fd === undefined) throw new Error('a name is registered with a door')
  if (registered.has(name)) throw new Error(`${name} is taken`)
  // A door has greeted whoever has it before it can be passed on: for what says nothing, nobody waits here.
  const door = DoorClient.from(fd, { timeout: 0 })
  const onUnreferenced = () => {
    registered.delete(name)
    door.close()
    console.log(`forgotten: ${name}`)
  }
  const lease = createDoor(() => {}, { unref: 'once', onUnreferenced })
  registered.set(name, door)
  return { fds: [release(lease.descriptor())] }
}

function lookup(name) {
  const door = registered.get(name)
  if (door === undefined || door.info().attributes & DOOR_REVOKED) throw new Error(`nobody is called ${name}`)
  return { fds: [door.fd] }
}

function serve(path) {
  const names = createDoor((data, { fds }) => {
    const [, verb, name] = /^(register|lookup) (.+)$/.exec(data) ?? []
    return verb === 'register' ? register(name, fds) : lookup(name)
  })
  names.attach(path)
  console.log('ready')
}

async function offer(path, name) {
  const door = createDoor((data, { caller }) => `${name}, ${process.pid}: ${caller.pid} says ${data}`)
  const names = await openDoor(path)
  const answer = await names.call(`register ${name}`, { fds: [release(door.descriptor())] })
  const lease = DoorClient.from(answer.fds[0])
  names.close()
  console.log('registered')
  process.once('SIGTERM', () => {
    lease.close()
    door.revoke()
  })
}

async function ask(path, name, text) {
  const names = await openDoor(path)
  const answer = await names.call(`lookup ${name}`)
  const door = DoorClient.from(answer.fds[0])
  console.log(`${(await door.call(text)).data}`)
  door.close()
  names.close()
}

const [command, ...rest] = process.argv.slice(2)
await { serve, offer, ask }[command](...rest)
