import { beforeAll, describe, expect, test } from 'vitest'
import { hasImages, imagesAbsent, legacyTrees, packages } from './fixtures/criu-images.ts'
import { restorePackages, restoreUnable, type Restored } from './fixtures/restored.ts'

// A tree of files that was unpacked has other inodes than the one that was dumped, and the tables show them.
const inodes = /\.info\.(inotify|fanotify|locks)\[\d+\]/
const withoutInodes = (line: string): string => {
  const [path = '', change = ''] = line.split(/: (.*)/s)
  const sides = change.split(' -> ').map((side) =>
    side
      .replace(/^'([0-9a-f]+)'$/, path.endsWith('.ino') || path.endsWith('.f_handle') ? 'N' : '$&')
      .replace(/(ino:|f_handle:)[0-9a-f]+/g, '$1N')
      .replace(/(fe|[0-9a-f]{2}):[0-9a-f]{2}:\d+/g, 'N'),
  )
  return sides[0] === sides[1] ? '' : line
}

// What Linux, or the image, does not let anybody make again: README.md, "Limits".
const impossible: Record<string, RegExp> = {
  // The name of a file that never had one is the number of its inode.
  ghost: /fds\[5\]\.link: .*#\d+ \(deleted\)/,
  // CRIU's image does not say that it counts as a semaphore.
  eventfd: /eventfd-semaphore: '1' -> '0'/,
  // Nor what waited in a UDP socket.
  udp: /\.(inet\.rqueue|inq): \d+ -> 0$/,
  // Nor who sent which message.
  udgram: /\.queue\[[12]\]\.from: /,
}

const remaining = (name: string, { differences }: Restored): string[] =>
  differences.filter((line) => {
    if (inodes.test(line) && withoutInodes(line) === '') return false
    return !(impossible[name]?.test(line) ?? false)
  })

// The large ones take seconds each and show nothing that the small ones do not: they are in the stress.
const large = /^(unix10000|null10000|shared1x100|procs100|shared1000x10|pipes2000)$/
const modern = packages().filter((name) => hasImages(name) && !large.test(name))

describe.skipIf(restoreUnable !== '')(`a tree that CRIU dumped is as it was${restoreUnable}`, () => {
  let restored = new Map<string, Restored>()
  beforeAll(() => {
    restored = restorePackages(modern)
  }, 300_000)

  test.each(modern)('%s', (name) => {
    const found = restored.get(name)
    expect(found?.problems).toEqual([])
    expect(found === undefined ? ['not restored'] : remaining(name, found)).toEqual([])
  })
})

describe.skipIf(restoreUnable !== '')(`so is one in the older layout${restoreUnable}`, () => {
  const names = imagesAbsent === '' ? legacyTrees() : []
  let restored = new Map<string, Restored>()
  beforeAll(() => {
    restored = restorePackages(names)
  }, 300_000)

  test.each(names)('%s', (name) => {
    const found = restored.get(name)
    expect(found?.problems).toEqual([])
    expect(found === undefined ? ['not restored'] : remaining(name.slice('legacy/'.length), found)).toEqual(
      [],
    )
  })
})
