// A new process that takes the steps of a restart as far as it is told, and then is killed:
// node successor.js CONTROL HOST PORT STEP,STEP,…
import { openDoor } from '@x/doors'
import { Fd } from '@x/fdpass'
import { openLedger } from '@x/http1'

const [control, host, port, steps] = process.argv.slice(2)
const door = await openDoor(`${control}.restart`)
const call = async (json, fds = []) => {
  const text = Buffer.from(JSON.stringify(json))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  const { data } = await door.call(Buffer.concat([length, text]), { fds })
  return JSON.parse(data.subarray(4, 4 + data.readUInt32LE(0)).toString())
}
const begin = {
  step: 'begin',
  protocol: 2,
  version: 'x',
  pid: process.pid,
  descriptors: 1e6,
  host,
  port: Number(port),
}
for (const step of steps.split(',')) {
  if (step === 'watch') call({ step }).catch(() => undefined)
  else if (step === 'commit') {
    // It has touched nothing.
    const ledger = Fd.from(openLedger(new Int32Array(0)))
    console.log(JSON.stringify(await call({ step, probation: 60_000 }, [ledger])))
  } else console.log(JSON.stringify(await call(step === 'begin' ? begin : { step })))
}
process.kill(process.pid, 'SIGKILL')
