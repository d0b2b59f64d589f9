// A process that restores the images of one folder again and again: `node subject.js '{"folder":…,"warm":…,"rounds":…}'`
// prints one line of JSON: ms of the first call in a fresh process, and of the rounds after `warm` further ones.
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { plan, readImages, run } from '../dist/index.js'

const { folder, warm, rounds } = JSON.parse(process.argv[2])

/** Of this process, all threads. */
const cpu = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** CPU time of another process up to now (sched_debug(5), schedstat). */
const cpuOf = (pid) => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6

const measure = async (work) => {
  const [wall, used] = [performance.now(), cpu()]
  const result = await work()
  return { result, wall: performance.now() - wall, cpu: cpu() - used }
}

const hasEnded = (pid) => {
  try {
    return /^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

/** Ends them, and waits until the kernel has closed all that they had. */
const end = async (pids) => {
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  for (const pid of pids) while (!hasEnded(pid)) await setTimeout(1)
}

/** Until all tasks have everything and are held. */
const runAndHold = async (program) => {
  const running = run(program)
  await running.ready
  const { pids } = await running.commit()
  return pids.slice(1)
}

/** What the helper and the tasks took. The helper has gone when they are held: another run tells. */
const childrenOf = async (program) => {
  const running = run(program)
  await running.ready
  const helper = cpuOf(running.pid)
  const { pids } = await running.commit()
  const tasks = pids.slice(1)
  const used = tasks.reduce((sum, pid) => sum + cpuOf(pid), helper)
  await end(tasks)
  return used
}

const once = async () => {
  const read = await measure(() => readImages(folder))
  const planned = await measure(() => plan(read.result, { keepPids: false }))
  const ran = await measure(() => runAndHold(planned.result.program))
  await end(ran.result)
  const children = await childrenOf(planned.result.program)
  const figures = ({ wall, cpu: used }) => ({ wall, cpu: used })
  return {
    read: figures(read),
    plan: figures(planned),
    run: { wall: ran.wall, cpu: ran.cpu + children },
    operations: planned.result.program.ops.length,
  }
}

const first = await once()
for (let round = 0; round < warm; round++) await once()
const measured = []
for (let round = 0; round < rounds; round++) measured.push(await once())
process.stdout.write(`${JSON.stringify({ first, measured })}\n`)
