import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { EVFILT_PROCDESC, EV_CLEAR, EV_EOF, EV_ONESHOT, NOTE_EXIT } from '../src/index.ts'

describe('PROCDESC', () => {
  // Node makes no pidfd, but can be given one: the program that opens it becomes Node, and keeps its child.
  test('the end of the process that a pidfd names', () => {
    const python = `import os,sys
r,w=os.pipe(); child=os.fork()
if child==0: os.close(w); os.read(r,1); os._exit(7)
os.close(r); fd=os.pidfd_open(child)
for keep in (fd,w): os.set_inheritable(keep,True)
os.execv(sys.argv[1],[*sys.argv[1:],str(fd),str(w)])`
    const script = `
      import { closeSync } from 'node:fs'
      import { KQueue, EVFILT_PROCDESC, EV_ADD, NOTE_EXIT } from '@x/kevent'
      const [ident, gate] = process.argv.slice(1).map(Number)
      const kq = new KQueue()
      const early = kq.kevent([{ ident, filter: EVFILT_PROCDESC, flags: EV_ADD, fflags: NOTE_EXIT, udata: 5 }], 8, 0)
      closeSync(gate)
      const events = kq.kevent(null, 8, 10_000)
      console.log(JSON.stringify({ ident, early, events, left: kq.list() }))`
    const { stdout, stderr } = spawnSync(
      'python3',
      ['-c', python, process.execPath, '--input-type=module', '-e', script],
      { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8', timeout: 20_000 },
    )
    const flags = EV_CLEAR | EV_EOF | EV_ONESHOT
    const said = JSON.parse(stdout || `"${stderr}"`) as { ident: number }
    expect(said).toEqual({
      ident: said.ident,
      early: [],
      events: [
        { ident: said.ident, filter: EVFILT_PROCDESC, flags, fflags: NOTE_EXIT, data: 7 << 8, udata: 5 },
      ],
      left: [],
    })
  })
})
