import { existsSync } from 'node:fs'
import { arch, platform } from 'node:process'
import { fileURLToPath } from 'node:url'
import { RestoreError } from '../errors.ts'

const ENOENT = -2
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Of the program that runs restores, built for this machine. Throws RestoreError ENOENT when the package has none. */
export function helperPath(): string {
  const candidates = [
    `${root}prebuilds/${platform}-${arch}/restore-helper`,
    `${root}native/build/Release/restore-helper`,
  ]
  const path = candidates.find((candidate) => existsSync(candidate))
  if (path !== undefined) return path
  const message =
    `@x/restore has no helper for ${platform}-${arch} (looked for ${candidates.join(' and ')}). ` +
    'Build it: npx -y node-gyp@12 rebuild -C node_modules/@x/restore/native'
  throw new RestoreError([{ reason: 'no-helper', message }], { errno: ENOENT, syscall: 'spawn' })
}
