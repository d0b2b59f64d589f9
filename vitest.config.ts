import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

// A project a package, so that `vitest run --project kevent` runs one and the root runs all.
const projects = ['packages', 'apps'].flatMap((folder) =>
  readdirSync(at(folder)).map((name) => ({
    extends: true as const,
    test: { name, root: at(`${folder}/${name}`), include: ['test/**/*.test.ts'] },
  })),
)

export default defineConfig({
  test: {
    // Descriptor counts, signals and working directories belong to a process: each file gets its own.
    // `--pool threads` is the second run in CI: it proves that the addons live in worker threads too.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A condition that is waited for may take its time on a busy machine.
    expect: { poll: { timeout: 20_000 } },
    projects,
  },
})
