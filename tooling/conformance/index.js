import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const namesIn = (folder, pattern) =>
  readdirSync(folder)
    .filter((name) => /(\.test\.ts|_test\.cc)$/.test(name) && name !== 'conformance.test.ts')
    .flatMap((name) => [...readFileSync(join(folder, name), 'utf8').matchAll(pattern)])
    .flatMap(([, numbers = '']) => numbers.split(', '))

export const placesOf = (name) => {
  const names = `${name}(?:, ${name})*`
  return {
    title: new RegExp(String.raw`(?<!\.(?:skip|todo|fails))\(\s*['"\`](${names}): `, 'g'),
    comment: new RegExp(`^// (${names}): `, 'gm'),
  }
}

export function claimedCases(root, { title, comment }) {
  return new Set([...namesIn(join(root, 'test'), title), ...namesIn(join(root, 'native/test'), comment)])
}

export function coverageOf(cases, claimed, notApplicable) {
  const tested = cases.filter((name) => claimed.has(name))
  const reasons = Object.entries(notApplicable)
  console.log(`${cases.length} cases, ${tested.length} tested, ${reasons.length} not applicable`)
  for (const [name, reason] of reasons) console.log(`not applicable: ${name}: ${reason}`)
  return {
    missing: cases.filter((name) => !claimed.has(name) && !(name in notApplicable)),
    needless: Object.keys(notApplicable).filter((name) => claimed.has(name) || !cases.includes(name)),
  }
}
