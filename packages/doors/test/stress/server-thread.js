/** A server thread of the stress's own. */
import { parentPort, workerData } from 'node:worker_threads'
import { bind } from '@x/doors'

const bound = bind(workerData.handle)
bound.unbound.then(() => {
  parentPort.close()
})
parentPort.on('message', () => {
  globalThis.gc()
  parentPort.postMessage('collected')
})
parentPort.unref()
parentPort.postMessage('bound')
