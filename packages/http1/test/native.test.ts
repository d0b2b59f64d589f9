import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { binding } from '../src/binding.ts'
import * as layout from '../src/layout.ts'

const folder = fileURLToPath(new URL('..', import.meta.url))

describe('the native core', () => {
  it.each(['asan-ubsan', 'tsan'])('runs its tests clean under %s', { timeout: 240_000 }, (sanitizer) => {
    const { status, stdout, stderr } = spawnSync('npx', ['native-test', sanitizer], {
      cwd: folder,
      encoding: 'utf8',
    })
    expect(`${stdout}${stderr}`).not.toMatch(/ERROR|WARNING: Thread|does not hold/)
    expect(status).toBe(0)
  })
})

describe('the layout of the shared lists', () => {
  it('is the same in native code and in JavaScript', () => {
    expect(binding.layout).toEqual({
      recordStride: layout.RECORD_STRIDE,
      recordLast: layout.RECORD.bodySize,
      entryStride: layout.ENTRY_STRIDE,
      entryLines: layout.ENTRY_LINES,
      entryOutcome: layout.ENTRY.outcome,
      lengthStride: layout.LENGTH_STRIDE,
      controlSize: layout.CONTROL_SIZE,
      counterSize: layout.counterNames.length,
      durationBounds: layout.durationBounds.map((seconds) => Math.round(seconds * 1e9)),
    })
  })
})
