import { describe, expect, test } from 'vitest'
import { restorePackage, restoreUnable } from './fixtures/restored.ts'

const otherInode = /\.info\.inotify\[\d\]\.(f_handle|ino): /

// What Linux does not let anybody make again, with the reason.
const impossible: Record<string, RegExp> = {
  // The name of a file that never had one is the number of its inode.
  ghost: /fds\[5\]\.link: .*#\d+ \(deleted\)/,
  // The image does not say that it counts as a semaphore.
  eventfd: /eventfd-semaphore: '1' -> '0'/,
  // Datagrams that waited are not in the image.
  udp: /fds\[[38]\]\.(inet\.rqueue|inq): \d+ -> 0/,
  // The files were unpacked anew, and have other inodes.
  inotify: otherInode,
  'legacy/inotify': otherInode,
  mixed4: otherInode,
  fanotify: /: '(fanotify )ino:\w+( sdev:\w+ .*) f_handle:\w+' -> '\1ino:\w+\2 f_handle:\w+'$/,
  locks: /: '(.*) \w+:\w+:\d+ (.*)' -> '\1 \w+:\w+:\d+ \2'$/,
}

const packages = [
  'null',
  'nofds',
  'highfd',
  'duplots',
  'reg',
  'shared',
  'ghost',
  'pipes',
  'fifo',
  'epnest',
  'eventfd',
  'eventfdsmall',
  'memfd',
  'clonefiles',
  'tcplisten',
  'tcpin',
  'udp',
  'netlink',
  'pty',
  'ptyctty',
  'signalfd',
  'timerfd',
  'inotify',
  'fanotify',
  'locks',
  'mixed4',
  'legacy/pty',
  'legacy/inotify',
]

describe.skipIf(restoreUnable !== '')(`a tree that CRIU dumped is as it was${restoreUnable}`, () => {
  for (const name of packages) {
    test(name, () => {
      const { differences, problems } = restorePackage(name)
      expect(problems).toEqual([])
      const allowed = impossible[name]
      expect(differences.filter((line) => !(allowed?.test(line) ?? false))).toEqual([])
    })
  }
})
