#!/usr/bin/env node
// Publishes every package whose version the registry does not have yet, with provenance. pnpm packs, because
// it writes versions where the sources say workspace: and catalog:; npm publishes, because it holds the
// identity of the workflow that runs this. With --dry-run npm does everything but the upload.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './run.js'
import { pack, wrongFiles } from './tarball.js'
import { pnpmCommand, root, workspace } from './workspace.js'

const dryRun = process.argv.includes('--dry-run')
const unreleased = '0.0.0'
const folder = mkdtempSync(join(tmpdir(), 'publish-'))

/** @param {import('./workspace.js').Manifest} manifest */
const isPublished = async ({ name, version }) => {
  const ran = await run('npm', ['view', `${name}@${version}`, 'version'], { cwd: root })
  if (!ran.good && !ran.stderr.includes('E404')) throw new Error(`npm view ${name}: ${ran.stderr}`)
  return ran.stdout.trim() === version
}

/** @param {import('./workspace.js').Package} entry */
const publish = async (entry) => {
  const { tarball, content } = await pack(entry, folder, pnpmCommand())
  const wrong = wrongFiles(content)
  if (wrong.length > 0) throw new Error(`${entry.name} must not be published:\n${wrong.join('\n')}`)
  const how = dryRun ? ['--dry-run'] : ['--provenance']
  const ran = await run('npm', ['publish', tarball, '--access', 'public', ...how], { cwd: root })
  if (!ran.good) throw new Error(`npm publish ${entry.name}: ${ran.how}\n${ran.stderr}`)
}

try {
  for (const entry of workspace().filter(({ manifest }) => manifest.private !== true)) {
    const { name, version } = entry.manifest
    const skip = (version === unreleased && !dryRun) || (await isPublished(entry.manifest))
    if (!skip) await publish(entry)
    process.stdout.write(
      `${name}@${version} ${skip ? 'left as it is' : dryRun ? 'could be published' : 'published'}\n`,
    )
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
