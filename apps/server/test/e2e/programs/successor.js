// A new process that takes the steps of a restart as far as it is told, and then is killed:
// node successor.js CONTROL HOST PORT STEP,STEP,…
import { openDoor } from '@x/doors'

const [control, host, port, steps] = process.argv.slice(2)
const door = await openDoor(`${control}.restart`)
const call = async (json) => {
  const text = Buffer.from(JSON.stringify(json))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  const { data } = await door.call(Buffer.concat([length, text]))
  return JSON.parse(data.subarray(4, 4 + data.readUInt32LE(0)).toString())
}
const begin = {
  step: 'begin',
  protocol: 1,
  version: 'x',
  pid: process.pid,
  descriptors: 1e6,
  host,
  port: Number(port),
}
for (const step of steps.split(',')) {
  if (step === 'watch') call({ step }).catch(() => undefined)
  else console.log(JSON.stringify(await call(step === 'begin' ? begin : { step })))
}
process.kill(process.pid, 'SIGKILL')
