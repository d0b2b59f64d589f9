#!/usr/bin/env node
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { exampleOf, runExample, runHelp } from './example.js'
import { installWithNpm, installWithPnpm } from './install.js'
import { nodeBinary, supported } from './node-versions.js'
import { run } from './run.js'
import { extent, pack, wrongFiles } from './tarball.js'
import { pnpmCommand, root, workspace } from './workspace.js'

const help = `Usage: pnpm test:release [options]

Packs every publishable package, looks at each tarball, installs all of them into empty projects and runs
what their READMEs show, on every line of Node that they promise to support. Run it after a build.

  --node LIST   lines of Node to run the examples on (default: ${supported.join(',')})
  --keep        leave the temporary folder and say where it is
  --json        print the results as JSON
  --help        print this

Exit status: 0 when everything held, 1 when something did not, 2 for a wrong command line.
`

/**
 * @typedef {object} Result
 * @property {string} subject   A package, or all of them.
 * @property {string} check
 * @property {boolean} good
 * @property {number} seconds
 * @property {string} note      For people.
 * @property {string[]} wrong   A sentence each; empty when good.
 */

/** @returns {{ nodes: string[], keep: boolean, json: boolean }} */
const commandLine = () => {
  try {
    const { values } = parseArgs({
      options: {
        node: { type: 'string', default: supported.join(',') },
        keep: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(help)
      process.exit(0)
    }
    const nodes = values.node.split(',')
    const odd = nodes.filter((major) => !/^\d+$/.test(major))
    if (odd.length > 0) throw new Error(`--node takes major versions as in 20,24; got ${odd.join(',')}`)
    return { nodes, keep: values.keep, json: values.json }
  } catch (error) {
    process.stderr.write(`${/** @type {Error} */ (error).message}\n\n${help}`)
    process.exit(2)
  }
}

/** @type {Result[]} */
const results = []

/**
 * Does one check and notes how it went.
 * @template {{ wrong: string[], note?: string }} Outcome
 * @param {string} subject
 * @param {string} check
 * @param {() => Promise<Outcome>} body
 * @returns {Promise<Outcome | undefined>} undefined when it could not be done at all
 */
const examine = async (subject, check, body) => {
  const begun = performance.now()
  /** @param {string[]} wrong @param {string} note */
  const add = (wrong, note) => {
    const seconds = (performance.now() - begun) / 1000
    results.push({ subject, check, good: wrong.length === 0, seconds, note, wrong })
  }
  try {
    const outcome = await body()
    add(outcome.wrong, outcome.note ?? '')
    return outcome
  } catch (error) {
    add([/** @type {Error} */ (error).message], '')
    return undefined
  }
}

/** Runs a checker that comes as a program. @param {string} name @param {string[]} args */
const checker = async (name, args) => {
  const ran = await run(fileURLToPath(new URL(`node_modules/.bin/${name}`, import.meta.url)), args, {
    cwd: root,
  })
  // The types checker is content with a package that has none.
  const good = ran.good && !ran.stdout.includes('does not contain types')
  return { wrong: good ? [] : [`${ran.how}\n${ran.stdout}${ran.stderr}`.trimEnd()] }
}

/** @param {Result[]} all */
const table = (all) => {
  const rows = all.map(({ subject, check, good, seconds, note }) => [
    subject,
    check,
    good ? 'ok' : 'FAILED',
    `${seconds.toFixed(1)} s`,
    note,
  ])
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const { nodes, keep, json } = commandLine()
const pnpm = pnpmCommand()
const publishable = workspace().filter(({ manifest }) => manifest.private !== true)
const folder = mkdtempSync(join(tmpdir(), 'pack-check-'))

/** @type {import('./install.js').Packed[]} */
const packed = []
for (const entry of publishable) {
  const made = await examine(entry.name, 'tarball', async () => {
    const { tarball, content } = await pack(entry, folder, pnpm)
    return { wrong: wrongFiles(content), note: extent(tarball, content), tarball }
  })
  if (made === undefined) continue
  const { tarball } = made
  packed.push({ name: entry.manifest.name, tarball })
  await examine(entry.name, 'publint', () => checker('publint', ['run', tarball, '--strict']))
  if (entry.manifest.exports) {
    const quiet = ['--profile', 'esm-only', '--no-color', '--no-emoji']
    await examine(entry.name, 'types', () => checker('attw', [tarball, ...quiet]))
  }
}

const withNpm = await examine('all', 'npm 11 install', () => installWithNpm(folder, packed))
const withPnpm = await examine('all', `${pnpm.at(-1)?.replace('@', ' ')} install`, () =>
  installWithPnpm(folder, packed, pnpm),
)

/** @param {string} major @param {string} node @param {string} project @param {string} client */
const runAll = async (major, node, project, client) => {
  for (const entry of publishable) {
    const path = exampleOf(entry)
    const where = `node ${major}, ${client}`
    if (path !== undefined) {
      await examine(entry.name, `README, ${where}`, async () => ({
        wrong: await runExample(path, entry.name, project, node),
      }))
    } else if (entry.kind === 'packages') {
      await examine(entry.name, `README, ${where}`, async () => ({ wrong: ['no examples/readme.js'] }))
    }
    for (const [name, script] of Object.entries(entry.manifest.bin ?? {})) {
      const path = join(project, 'node_modules', entry.manifest.name, script)
      await examine(entry.name, `${name} --help, ${where}`, async () => ({
        wrong: await runHelp(path, project, node),
      }))
    }
  }
}

for (const [index, major] of nodes.entries()) {
  const found = await examine('node', `line ${major}`, async () => {
    const binary = await nodeBinary(major)
    const { stdout } = await run(binary, ['--version'], { cwd: folder })
    return {
      wrong: stdout.startsWith(`v${major}.`) ? [] : [`${binary} is ${stdout}`],
      note: stdout.trim(),
      binary,
    }
  })
  if (found === undefined) continue
  if (withNpm !== undefined) await runAll(major, found.binary, withNpm.project, 'npm')
  if (withPnpm !== undefined && index === 0) await runAll(major, found.binary, withPnpm.project, 'pnpm')
}

const failed = results.filter(({ good }) => !good)
if (json) {
  process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
} else {
  process.stdout.write(`${table(results)}\n`)
  for (const { subject, check, wrong } of failed) {
    process.stdout.write(
      `\n${subject}, ${check}:\n${wrong.map((sentence) => `  ${sentence.replaceAll('\n', '\n  ')}\n`).join('')}`,
    )
  }
  process.stdout.write(`\n${results.length - failed.length} of ${results.length} checks held\n`)
}
if (keep) process.stderr.write(`kept ${folder}\n`)
else rmSync(folder, { recursive: true, force: true })
process.exit(failed.length > 0 ? 1 : 0)
