import { EV_ADD, EV_DISPATCH, EV_ENABLE, EVFILT_READ, KEventList, KQueue } from '@x/kevent'
import { Engine, listen } from '@x/http1'

const queue = new KQueue()
const change = (ident, flags) => queue.kevent([{ ident, filter: EVFILT_READ, flags }])
const later = () => Promise.reject(new Error('this example has no long bodies'))
const engine = new Engine({ readable: later, writable: later })
const listener = listen({ host: '127.0.0.1', port: 0 })
change(listener.descriptor, EV_ADD)

function serve(count) {
  for (const fd of engine.rearm.subarray(0, engine.rearmCount)) change(fd, EV_ENABLE)
  for (const fd of engine.closing.subarray(0, engine.closingCount)) queue.detach(fd)
  engine.closeListed()
  for (let i = 0; i < count; i++)
    engine.respond(engine.request(i), { body: `hello ${engine.request(i).path}` })
  if (count > 0) serve(engine.flush())
}

const request = fetch(`http://127.0.0.1:${listener.port}/world`, { headers: { connection: 'close' } })
request.then(async (response) => console.log(await response.text())).finally(() => queue.close())

const list = new KEventList(1)
for await (const { ident, filter, flags } of queue) {
  const accepted = ident === listener.descriptor ? engine.accept(ident, 64) : 0
  for (const fd of engine.accepted.subarray(0, accepted)) change(fd, EV_ADD | EV_DISPATCH)
  list.set(0, ident, filter, flags)
  serve(engine.read(list.bytes, 1))
}
listener.close()
