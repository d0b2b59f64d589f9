import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { asServer } from './placement.js'

const script = fileURLToPath(new URL('servers/pm2-app.js', import.meta.url))

/** @type {import('./servers.js').Server} */
export const pm2 = {
  name: 'PM2',
  how: 'pm2 reload, in cluster mode, with wait_ready and a handler of SIGINT; SIGKILL after 1.6 s',
  missing: ({ pm2: program }) => {
    if (program === undefined)
      return 'name its program with --pm2 PATH or X_PM2; npm install --prefix DIR pm2 makes DIR/node_modules/.bin/pm2'
    return existsSync(program) ? undefined : `there is no ${program}`
  },
  start: async ({ port, folder, workers, pm2: program = 'pm2' }) => {
    const file = join(folder, 'app.json')
    const app = {
      name: 'echo',
      script,
      exec_mode: 'cluster',
      instances: workers,
      wait_ready: true,
      kill_timeout: 1600,
      env: { PORT: String(port) },
    }
    writeFileSync(file, JSON.stringify({ apps: [app] }))
    let said = ''
    /** @param {string[]} args */
    const run = async (...args) => {
      // A daemon of its own, which ends with the run.
      const env = { ...process.env, PM2_HOME: join(folder, 'home') }
      const [command = '', ...rest] = asServer([program, ...args])
      const { stdout, stderr } = await promisify(execFile)(command, rest, { env })
      said += stdout + stderr
    }
    await run('start', file)
    return {
      restart: async () => {
        await run('reload', 'echo')
        return undefined
      },
      stop: () => run('kill'),
      said: () => said,
    }
  },
}
