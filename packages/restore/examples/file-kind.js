// A kind of files of one's own: a log that was rotated away meanwhile is begun anew, where the built-in kind refuses to
// restore a file that is not there. Should the restore fail, the new log is taken away again.
import { execFileSync } from 'node:child_process'
import { constants, existsSync, mkdtempSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { builtInKinds, collect, plan, run } from '@x/restore'
import { FdType } from '@x/restore/images'

const { O_APPEND, O_CLOEXEC, O_CREAT } = constants
const AT_FDCWD = -100

/** @type {import('@x/restore').FileKind} */
const logKind = {
  name: 'log',
  types: [FdType.REG],
  matches: ({ entry }) => entry.reg.name.endsWith('.log') && (entry.reg.flags & O_APPEND) !== 0,
  describe: ({ entry }) => `log ${entry.reg.name}`,
  // It comes out the same whoever opens it: one for all processes that share it is enough.
  isShareable: () => true,
  open({ file, ops, path, cloexec }) {
    const { name, flags } = file.entry.reg
    const now = path(name)
    const wanted = flags | O_CREAT | (cloexec ? O_CLOEXEC : 0)
    const newFd = ops.open('openat', [AT_FDCWD, { text: now }, wanted, 0o640], {
      changes: { kind: 'create', path: now },
    })
    return { status: 0, newFd }
  },
}

const folder = mkdtempSync(join(tmpdir(), 'logs-'))
const log = join(folder, 'server.log')
const script = 'exec 5>>"$1"; echo one >&5; sleep 60 >/dev/null 2>&1 </dev/null & echo $!'
const pid = Number(execFileSync('sh', ['-c', script, 'sh', log]))
const images = await collect([pid])
process.kill(pid)
renameSync(log, `${log}.1`)

try {
  plan(images, { keepPids: false })
} catch (error) {
  console.log(error.problems.map(({ reason }) => reason).join())
}
const { program, model } = plan(images, { keepPids: false, kinds: [...builtInKinds, logKind] })
const { pids } = await run(program).commit()
const restored = pids[model.taskOf(pid).index]
console.log(readlinkSync(`/proc/${restored}/fd/5`) === log, existsSync(log))
process.kill(restored)
rmSync(folder, { recursive: true })
