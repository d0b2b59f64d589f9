// A job queue without HTTP: its two workers find the plug-in for a job in a mount table. Both plug-ins are replaced
// while jobs run. No job is lost, each ends in the plug-in it began in, and an old plug-in is unloaded after its last.
// node job-queue.js [jobs]
import { setTimeout } from 'node:timers/promises'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { MountTable, MountTableMember } from '@x/mounttable'

const WORKERS = 2
const JOBS_AT_ONCE = 4

/** What all threads know of a version of a plug-in; the two counts are shared memory. */
const plugin = (version) => ({ version, counts: new Int32Array(new SharedArrayBuffer(8)) })
const [RUNNING, DONE] = [0, 1]

if (isMainThread) await control(Number(process.argv[2] ?? 120))
else await work()

/** The main thread: it has the queue and the table, and no plug-in. */
async function control(jobs) {
  const table = new MountTable({
    cleanup: ({ prefix, spec: { version, counts } }) => {
      console.log(`${prefix} v${version} is unloaded: ${counts[DONE]} jobs done, ${counts[RUNNING]} running`)
    },
  })
  const queue = Array.from({ length: jobs }, (_, id) => ({
    id,
    path: id % 2 === 0 ? '/email' : '/resize/small',
  }))
  const waiting = new Set(queue.map(({ id }) => id))
  await table.mount('/email', plugin(1))
  await table.mount('/resize', plugin(1))

  let allDone
  const end = new Promise((resolve) => (allDone = resolve))
  const swaps = []
  const finished = (id, give) => {
    waiting.delete(id)
    give()
    const done = jobs - waiting.size
    // When replace() resolves, every worker begins its jobs in the new version.
    if (done === Math.floor(jobs / 3)) swaps.push(table.replace('/email', plugin(2)))
    if (done === Math.floor(jobs / 2)) swaps.push(table.replace('/resize', plugin(2)))
    if (done === jobs) allDone()
  }

  const workers = []
  for (let index = 0; index < WORKERS; index++) {
    const handle = table.share()
    const worker = new Worker(new URL(import.meta.url), { workerData: handle, transferList: handle.transfer })
    const give = () => queue.length > 0 && worker.postMessage(queue.shift())
    worker.on('message', ({ id }) => finished(id, give))
    workers.push({ worker, give })
  }
  for (let started = 0; started < JOBS_AT_ONCE; started++) for (const { give } of workers) give()
  await end
  await Promise.all(swaps)
  await table.stop()
  console.log(`${jobs} jobs, ${waiting.size} lost`)
  for (const { worker } of workers) await worker.terminate()
}

/** A worker: it loads each plug-in when it is mounted, and runs what it is given. */
async function work() {
  const load = ({ version }) => {
    return async (job, what) => (await setTimeout(2 + (job.id % 5)), `${what || 'default'} by v${version}`)
  }
  const member = await MountTableMember.attach(workerData, { prepare: load })
  parentPort.on('message', async (job) => {
    const lease = member.lookup(job.path)
    const { counts } = lease.mount.spec
    Atomics.add(counts, RUNNING, 1)
    const result = await lease.handler(job, lease.rest)
    Atomics.sub(counts, RUNNING, 1)
    Atomics.add(counts, DONE, 1)
    lease.release()
    parentPort.postMessage({ id: job.id, result })
  })
}
