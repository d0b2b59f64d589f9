// postMessage to a worker of the same process, and back. The worker is pinned by itself.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const echo = () => {
  const thread = basename(readlinkSync('/proc/thread-self'))
  execFileSync('taskset', ['-p', '-c', workerData.serverCpus, thread])
  parentPort.on('message', (message) => parentPort.postMessage(message))
  parentPort.postMessage('ready')
}

export const connect = async ({ serverCpus }) => {
  const worker = new Worker(new URL(import.meta.url), { workerData: { serverCpus } })
  await once(worker, 'message')
  let settle
  worker.on('message', (message) => settle(message))
  return {
    sync: false,
    call: (message) =>
      new Promise((resolve) => {
        settle = resolve
        worker.postMessage(message)
      }),
  }
}

if (!isMainThread) echo()
