export const commandNames = [
  'run',
  'check',
  'mounts',
  'mount',
  'replace',
  'unmount',
  'reload',
  'restart',
  'status',
  'health',
  'metrics',
] as const
export type CommandName = (typeof commandNames)[number]

export function isCommandName(name: string): name is CommandName {
  return (commandNames as readonly string[]).includes(name)
}

const exitCodes = `Exit codes:
  0  done
  1  failed
  2  the command line cannot be understood
  3  no server listens at the control door
`

const server = `  --control PATH   control door of the server (default: of --config, else the user's own)
  --config FILE    take the control door from this configuration
`

const help = `  -h, --help       print this
`

const target = `${server}  --json           print JSON
${help}`

const handler = `  --module FILE    handler module, or builtin:welcome
  --static DIR     serve the files of this folder
  --host H         only for requests to this host
  --options JSON   options for the handler
`

const deadline = `  --deadline MS    wait this long for requests in progress (default: 30000); they are never cut off
`

const texts: Readonly<Record<CommandName, string>> = {
  run: `Usage:
  x-server [--config FILE] [--host H] [--port N] [--workers N] [--control PATH] [--check]
  x-server check
  x-server mounts
  x-server mount PREFIX (--module FILE | --static DIR)
  x-server replace PREFIX (--module FILE | --static DIR)
  x-server unmount PREFIX
  x-server reload
  x-server status
  x-server health
  x-server metrics
  x-server restart

Without a command it runs the server; a command speaks to a running one.
\`x-server COMMAND --help\` prints the options of a command.

Options:
  --config FILE    configuration in JSON (default: a welcome page at http://127.0.0.1:8080/)
  --host H         address to listen at, instead of the configuration's
  --port N         port to listen at; 0 has the kernel choose
  --workers N      number of worker threads, 1 to 64
  --control PATH   control door
  --check          as x-server check
  --take-over      take the listener and all connections over from the server that has the control door
  --version        print the version
  -h, --help       print this

Signals: SIGTERM and the first SIGINT let requests in progress end; a second SIGINT, and SIGQUIT, leave at once.
SIGHUP reads the configuration again, as x-server reload; SIGUSR2 restarts, as x-server restart.

${exitCodes}`,
  check: `Usage: x-server check [--config FILE] [--json]

Reads the configuration and loads every handler, with its init and its cleanup, in a thread that is thrown away.
It needs no running server and listens to nothing. All that is wrong is told at once, each with its place.

Options:
  --config FILE    configuration in JSON (default: the built-in one)
  --json           print JSON: { "sound", "config", "problems" }
  -h, --help       print this

${exitCodes}`,
  mounts: `Usage: x-server mounts [OPTIONS]

Lists what is mounted, and what was unmounted and still drains.

Options:
${target}
${exitCodes}`,
  mount: `Usage: x-server mount PREFIX (--module FILE | --static DIR) [OPTIONS]

Mounts a handler in all workers, or in none if it fails in one.

Options:
${handler}${target}
${exitCodes}`,
  replace: `Usage: x-server replace PREFIX (--module FILE | --static DIR) [OPTIONS]

Puts a new handler in the place of a mounted one without missing a request, and waits for the old one's
requests to end. After a deadline the new handler stays and the old one goes on to drain.

Options:
${handler}${deadline}${target}
${exitCodes}`,
  unmount: `Usage: x-server unmount PREFIX [OPTIONS]

Takes a mount away and waits for its requests to end. After a deadline it goes on to drain.

Options:
  --host H         the mount of this host
${deadline}${target}
${exitCodes}`,
  restart: `Usage: x-server restart [OPTIONS]

Starts a new process that takes over from the running one: it loads the configuration and the handlers, and then
gets the listener and all connections, also those that are idle or have sent a part of a request. Requests in
progress are answered by the old process, and their connections follow. If the new process fails, the old one
serves on, and the exit code is 1.

Options:
  --wait           until the old process has answered what it had in hand, too
${target}
${exitCodes}`,
  reload: `Usage: x-server reload [OPTIONS]

Has the server read its configuration again, try all handlers as x-server check does, and bring its mounts to
it: all are made anew, so new code takes effect; what is not in the file is unmounted, also what a command has
mounted. If anything is wrong, nothing changes. Other settings take a start of the server.

Options:
${target}
${exitCodes}`,
  status: `Usage: x-server status [OPTIONS]

Shows the process, its address, and its counters.

Options:
${target}
${exitCodes}`,
  health: `Usage: x-server health [OPTIONS]

Shows whether the server is ready: it has started, does not stop, and at least one worker serves.

Options:
${target}
Exit codes:
  0  ready
  1  not ready, or failed
  2  the command line cannot be understood
  3  no server listens at the control door
`,
  metrics: `Usage: x-server metrics [OPTIONS]

Prints the metrics of the server in Prometheus' text format.

Options:
${server}${help}
${exitCodes}`,
}

/** What `--help` prints. */
export function helpText(command: CommandName): string {
  return texts[command]
}
