import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { EVFILT_FS, EV_ADD, VQ_MOUNT, VQ_UNMOUNT } from '../src/index.ts'
import { newFolder } from './fixtures/folder.ts'
import { newQueue, refused } from './fixtures/queue.ts'

/** A mount namespace of one's own is the only place where a test may mount. */
const mayMount = spawnSync('unshare', ['-rm', 'true']).status === 0
const unlessRefused = mayMount ? '' : ' (skipped: unshare(1) is refused a mount namespace here)'

describe('FS', () => {
  test.runIf(mayMount)(`mounts and unmounts, and only what was asked for${unlessRefused}`, () => {
    const script = `
      import { spawnSync } from 'node:child_process'
      import { EVFILT_FS, EV_ADD, KQueue, VQ_MOUNT, VQ_UNMOUNT } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
      const [both, one] = [new KQueue(), new KQueue()]
      both.kevent([{ ident: 0, filter: EVFILT_FS, flags: EV_ADD, fflags: VQ_MOUNT | VQ_UNMOUNT }])
      one.kevent([{ ident: 0, filter: EVFILT_FS, flags: EV_ADD, fflags: VQ_UNMOUNT }])
      const said = []
      const look = () => said.push([both, one].map((kq) => kq.kevent(null, 8, 0).map(({ fflags, flags }) => [fflags, flags])))
      look()
      spawnSync('mount', ['-t', 'tmpfs', 'none', process.argv[1]])
      look()
      spawnSync('umount', [process.argv[1]])
      look()
      look()
      console.log(JSON.stringify(said))`
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['-rm', process.execPath, '--input-type=module', '-e', script, newFolder()],
      { encoding: 'utf8' },
    )
    const nothing = [[], []]
    expect(stdout, stderr).not.toBe('')
    expect(JSON.parse(stdout)).toEqual([
      nothing,
      [[[VQ_MOUNT, 0x20]], []],
      [[[VQ_UNMOUNT, 0x20]], [[VQ_UNMOUNT, 0x20]]],
      nothing,
    ])
  })

  test('another ident, another note, no note: EINVAL', () => {
    const kq = newQueue()
    for (const [ident, fflags] of [
      [1, VQ_MOUNT],
      [0, 4],
      [0, 0],
      [0, VQ_UNMOUNT | 1],
    ] as const) {
      expect(refused(kq, { ident, filter: EVFILT_FS, flags: EV_ADD, fflags })).toBe('EINVAL')
    }
  })
})
