import { isMainThread, threadId, Worker, workerData } from 'node:worker_threads'
import { EV_ADD, EV_DOD, EV_ENABLE, EVFILT_TIMER, KQueue } from '@x/kevent'

if (isMainThread) {
  const kq = new KQueue()
  kq.kevent([{ ident: 1, filter: EVFILT_TIMER, flags: EV_ADD | EV_DOD, data: 50 }])
  for (let n = 0; n < 2; n++) new Worker(new URL(import.meta.url), { workerData: kq.share() })
  setTimeout(() => kq.close(), 500)
} else {
  const kq = KQueue.attach(workerData)
  for await (const { ident, filter } of kq) {
    console.log(`thread ${threadId}: tick`) // no other thread has this event now
    kq.kevent([{ ident, filter, flags: EV_ENABLE }])
  }
}
