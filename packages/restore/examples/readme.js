import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { collect, plan, run } from '@x/restore'

// A process that has a file open as descriptor 5, and has read a line of it.
const script = 'exec 5</etc/passwd; read line <&5; sleep 60 <&5 >/dev/null 2>&1 & echo $!'
const pid = Number(execFileSync('sh', ['-c', script]))
const images = await collect([pid])
process.kill(pid)
// Everything is decided here; nothing has happened yet.
const { program, model } = plan(images, { keepPids: false })
const { pids } = await run(program).commit()
const restored = pids[model.taskOf(pid).index]
console.log(`descriptor 5 is ${readlinkSync(`/proc/${restored}/fd/5`)} again`)
console.log(readFileSync(`/proc/${restored}/fdinfo/5`, 'utf8').split('\n')[0])
process.kill(restored)
