import { execFileSync } from 'node:child_process'

// What Node 20 to 26 need themselves: an addon that needs more would fail where Node runs.
/** @type {Record<string, number[]>} */
const newest = { GLIBC: [2, 28], GLIBCXX: [3, 4, 21], CXXABI: [1, 3, 9] }

/** @param {number[]} version @param {number[]} limit */
const exceeds = (version, limit) => {
  for (const [index, part] of version.entries()) {
    const bound = limit[index] ?? 0
    if (part !== bound) return part > bound
  }
  return false
}

/**
 * Throws when a shared object needs newer symbol versions than the oldest supported system has.
 * @param {string} path
 */
export function checkSymbols(path) {
  const table = execFileSync('objdump', ['-T', path], { encoding: 'utf8' })
  for (const [, family = '', digits = ''] of table.matchAll(/\((GLIBC|GLIBCXX|CXXABI)_([\d.]+)\)/g)) {
    const limit = newest[family] ?? []
    if (exceeds(digits.split('.').map(Number), limit)) {
      throw new Error(
        `${path} needs ${family}_${digits}, more than ${family}_${limit.join('.')}: ` +
          `find the symbol with "objdump -T ${path}" and use an older call.`,
      )
    }
  }
}
