import { spawn } from 'node:child_process'

// What a script runner adds to the environment would steer the clients under test; these four belong to the user.
const kept = new Set([
  'npm_config_registry',
  'npm_config_cafile',
  'npm_config_cache',
  'npm_config_userconfig',
])

/** The environment a person's shell would have. */
export const plainEnvironment = () =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([key]) => kept.has(key) || !/^(npm|pnpm|turbo)_|^INIT_CWD$/i.test(key),
    ),
  )

/**
 * @typedef {object} Ran
 * @property {boolean} good     Ended by itself with status 0.
 * @property {string} stdout
 * @property {string} stderr
 * @property {string} how       One line: how it ended.
 */

/**
 * Runs a command to its end, or to its deadline.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, timeout?: number, env?: NodeJS.ProcessEnv }} options  timeout in milliseconds
 * @returns {Promise<Ran>}
 */
export const run = (command, args, { cwd, timeout = 300_000, env = plainEnvironment() }) =>
  new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, timeout, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    child.on('error', (error) => resolve({ good: false, stdout, stderr, how: error.message }))
    child.on('close', (status, signal) => {
      const how = signal ? `ended by ${signal} (deadline ${timeout} ms)` : `exit status ${status}`
      resolve({ good: status === 0, stdout, stderr, how })
    })
  })
