import { execFileSync } from 'node:child_process'

// What Node 20 to 26 need themselves: an addon that needs more would fail where Node runs.
const newest = { GLIBC: [2, 28], GLIBCXX: [3, 4, 21], CXXABI: [1, 3, 9] }

const exceeds = (version, limit) => {
  for (const [index, part] of version.entries()) {
    const bound = limit[index] ?? 0
    if (part !== bound) return part > bound
  }
  return false
}

/** Throws when the shared object at `path` needs newer symbol versions than the oldest supported system has. */
export function checkSymbols(path) {
  const table = execFileSync('objdump', ['-T', path], { encoding: 'utf8' })
  for (const [, family, digits] of table.matchAll(/\((GLIBC|GLIBCXX|CXXABI)_([\d.]+)\)/g)) {
    if (exceeds(digits.split('.').map(Number), newest[family])) {
      throw new Error(
        `${path} needs ${family}_${digits}, more than ${family}_${newest[family].join('.')}: ` +
          `find the symbol with "objdump -T ${path}" and use an older call.`,
      )
    }
  }
}
