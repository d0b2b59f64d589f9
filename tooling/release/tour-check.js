#!/usr/bin/env node
// Types the tour of the README as a reader would: its first block starts the server, its second one runs
// beside it and ends with the server's end. Prints what the reader would see. Fails when a command does, or
// when an answer is an error.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { plainEnvironment, run } from './run.js'
import { root } from './workspace.js'

const startDeadline = 300_000
const stopDeadline = 60_000
const address = 'http://127.0.0.1:8080/'
// What differs between a script and a terminal: aliases work, and curl says so when the answer is an error.
const prelude = 'shopt -s expand_aliases\nset -e -o pipefail\ncurl() { command curl -sS --fail "$@"; }\n'

/** The shell commands of a section, a string for each block. @param {string} title */
const blocks = (title) => {
  const [, section = ''] = readFileSync(join(root, 'README.md'), 'utf8').split(`\n## ${title}\n`)
  return Array.from(
    (section.split('\n## ')[0] ?? '').matchAll(/^```sh\n(.*?)^```$/gms),
    ([, text = '']) => text,
  )
}

/** @returns {Promise<boolean>} whether the server answers */
const answers = () =>
  new Promise((resolve) => {
    const request = get(address, { agent: false }, (response) => {
      response.resume()
      resolve(true)
    })
    request.on('error', () => resolve(false))
  })

/** @param {string} message @returns {never} */
function fail(message) {
  process.stderr.write(`tour: ${message}\n`)
  process.exit(1)
}

const [start, tour, ...others] = blocks('A tour')
if (start === undefined || tour === undefined || others.length > 0) {
  fail('the section "A tour" of README.md should have two blocks of shell commands')
}
if (await answers()) fail(`something answers at ${address} already; stop it first`)

// A folder of its own for the control door: another server of this user may be running.
const folder = mkdtempSync(join(tmpdir(), 'tour-'))
const env = { ...plainEnvironment(), XDG_RUNTIME_DIR: folder }

// A group of its own, so that what is left of it can be ended as one.
const server = spawn('bash', ['-c', start], {
  cwd: root,
  env,
  detached: true,
  stdio: ['ignore', 'pipe', 'inherit'],
})
server.stdout.resume()
/** @type {Promise<string>} */
const ended = new Promise((resolve) => {
  server.on('exit', (status, signal) => resolve(`status ${signal ?? status}`))
})
const leave = () => {
  if (server.pid !== undefined && server.exitCode === null) process.kill(-server.pid, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
process.on('exit', leave)

const begun = performance.now()
while (!(await answers())) {
  if (server.exitCode !== null) fail(`the start command ended with ${await ended}`)
  if (performance.now() - begun > startDeadline) fail(`no answer at ${address} after ${startDeadline} ms`)
  await delay(100)
}

const typed = await run('bash', ['-c', prelude + tour], { cwd: root, env })
process.stdout.write(typed.stdout)
if (!typed.good) fail(`${typed.how}\n${typed.stderr}`)
const how = await Promise.race([ended, delay(stopDeadline, 'not ended', { ref: false })])
if (how !== 'status 0') fail(`the server should have ended with status 0: ${how}`)
// The process that has taken over is in no group of ours.
const told = performance.now()
while (await answers()) {
  if (performance.now() - told > stopDeadline) fail(`something still answers at ${address}`)
  await delay(100)
}
