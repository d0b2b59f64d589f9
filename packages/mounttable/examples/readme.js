import { once } from 'node:events'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { MountTable, MountTableMember } from '@x/mounttable'

if (isMainThread) {
  const table = new MountTable({
    cleanup: ({ spec }) => console.log(`nobody says ${spec.greeting} any more`),
  })
  const handle = table.share()
  const worker = new Worker(new URL(import.meta.url), { workerData: handle, transferList: handle.transfer })
  await table.mount('/hello', { greeting: 'Hello' })
  const ask = (target) => (worker.postMessage(target), once(worker, 'message'))
  console.log(...(await ask('/hello/world')))
  const { drained } = await table.replace('/hello', { greeting: 'Good day' })
  console.log(...(await ask('/hello/world?again')))
  await drained
  await worker.terminate()
} else {
  const prepare = (spec) => (rest) => `${spec.greeting}, ${rest.slice(1)}`
  const member = await MountTableMember.attach(workerData, { prepare })
  parentPort.on('message', (target) => {
    const lease = member.lookup(target)
    parentPort.postMessage(lease.handler(lease.rest))
    lease.release()
  })
}
