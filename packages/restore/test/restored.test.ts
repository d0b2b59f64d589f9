import { describe, expect, test } from 'vitest'
import { restorePackage, restoreUnable } from './fixtures/restored.ts'

// What Linux does not let anybody make again, with the reason.
const impossible: Record<string, RegExp> = {
  // The name of a file that never had one is the number of its inode.
  ghost: /fds\[5\]\.link: .*#\d+ \(deleted\)/,
  // The image does not say that it counts as a semaphore.
  eventfd: /eventfd-semaphore: '1' -> '0'/,
  // Datagrams that waited are not in the image.
  udp: /fds\[[38]\]\.(inet\.rqueue|inq): \d+ -> 0/,
  // Each of three has sent one message, and the image does not say which.
  udgram: /fds\[3\]\.queue\[\d\]\.from: 'c\d\.sock' -> 'c\d\.sock'/,
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
  'uspair',
  'ustream',
  'udgram',
  'ughost',
  'scm',
  'scmnest',
  'scmother',
  'scmlost',
  'xsend5',
  'unix1000',
  'legacy/ustream',
  'legacy/scm',
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
