#!/usr/bin/env node
// Sums the reports that the test runner wrote for every package, says what failed, and prints as its last
// line "N passed, N failed". A package that should have written a report and did not counts as one failure:
// its run crashed or was never reached. With --clear it removes the reports of earlier runs instead.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root, workspace } from './workspace.js'

/**
 * @typedef {object} Assertion
 * @property {'passed' | 'failed' | 'skipped' | 'todo' | 'pending'} status  pending: begun or queued, never ended
 * @property {string} fullName
 * @property {string[]} [failureMessages]
 */

/**
 * @typedef {object} Report  What is read of the JSON that vitest writes.
 * @property {boolean} success
 * @property {{ name: string, status: string, message: string, assertionResults: Assertion[] }[]} testResults
 */

/** @typedef {{ passed: number, failed: number, skipped: number, complaints: string[] }} Sum */

/** The reports that the `test` scripts of all packages promise to write. */
const expected = workspace().flatMap(({ folder, manifest }) =>
  Array.from((manifest.scripts?.['test'] ?? '').matchAll(/--outputFile\.json=(\S+)/g), ([, path = '']) =>
    join(folder, path),
  ),
)

/** @param {string} path */
const shown = (path) => relative(root, path)

/** @param {string} path @returns {Sum} */
const sumOf = (path) => {
  /** @param {string} why @returns {Sum} */
  const broken = (why) => ({ passed: 0, failed: 1, skipped: 0, complaints: [`${shown(path)}: ${why}`] })
  if (!existsSync(path)) return broken('no report; the run crashed or never began')
  /** @type {Report} */
  let report
  try {
    report = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    return broken(/** @type {Error} */ (error).message)
  }
  /** @type {Sum} */
  const sum = { passed: 0, failed: 0, skipped: 0, complaints: [] }
  /** @param {string} complaint */
  const fail = (complaint) => {
    sum.failed += 1
    sum.complaints.push(complaint)
  }
  for (const file of report.testResults) {
    const before = sum.failed
    for (const { status, fullName, failureMessages } of file.assertionResults) {
      const title = `${shown(file.name)}: ${fullName}`
      if (status === 'passed') sum.passed += 1
      else if (status === 'failed') fail(`${title}\n    ${failureMessages?.[0]?.split('\n')[0] ?? ''}`)
      else if (status === 'pending') fail(`${title}\n    never ended: its process crashed`)
      else sum.skipped += 1
    }
    if (file.status === 'failed' && sum.failed === before) {
      fail(`${shown(file.name)}: ${file.message || 'the file could not be run'}`)
    }
  }
  if (!report.success && sum.failed === 0) fail(`${shown(path)}: an error outside of any test`)
  return sum
}

if (process.argv.includes('--clear')) {
  for (const path of expected) rmSync(path, { force: true })
  process.exit(0)
}

const sums = expected.map(sumOf)
/** @param {(sum: Sum) => number} pick */
const total = (pick) => sums.reduce((count, sum) => count + pick(sum), 0)
const complaints = sums.flatMap((sum) => sum.complaints)
for (const complaint of complaints) process.stdout.write(`FAILED ${complaint}\n`)

const failed = total((sum) => sum.failed)
const skipped = total((sum) => sum.skipped)
if (skipped > 0) process.stdout.write(`${skipped} skipped\n`)
process.stdout.write(`${total((sum) => sum.passed)} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
