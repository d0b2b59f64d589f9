import { spawn } from 'node:child_process'
import { createDoor, openDoor } from '@x/doors'

const [path = `/tmp/square-${process.pid}.door`, role] = process.argv.slice(2)
if (role !== 'client') {
  const square = (data, { caller }) => `${Number(data) ** 2}, said ${process.pid} to ${caller.pid}`
  const onUnreferenced = () => console.log('nobody has the door any more')
  const door = createDoor(square, { unref: 'once', onUnreferenced })
  door.attach(path)
  const client = spawn(process.execPath, [import.meta.filename, path, 'client'], { stdio: 'inherit' })
  client.once('exit', () => door.detach())
} else {
  const door = await openDoor(path)
  console.log(`${(await door.call('12')).data}`)
  door.close()
}
