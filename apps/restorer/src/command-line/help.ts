export const commandNames = ['dump', 'show', 'check', 'plan', 'restore'] as const
export type CommandName = (typeof commandNames)[number]

export function isCommandName(name: string): name is CommandName {
  return (commandNames as readonly string[]).includes(name)
}

const exitCodes = `Exit codes:
  0    done
  1    failed; nothing is left behind
  2    the command line cannot be understood
  3    refused before anything was begun: the images are damaged, or cannot be restored here
  4    restore: failed, and some of what it made could not be taken back; it is named
  130  dump, restore: interrupted by SIGINT, and taken back; 143: by SIGTERM
`

const help = `  -h, --help       print this
`

const planning = `  --map OLD=NEW    paths of the images that begin with OLD are at NEW now; as often as needed, the longest counts
  --netns NETNS    make everything in this network namespace: a name of ip-netns(8), or a path
  --new-pids       let the kernel choose process ids, instead of those of the images
`

const texts: Readonly<Record<CommandName | 'all', string>> = {
  all: `Usage:
  restorer dump PID... --images DIR
  restorer show IMAGES
  restorer check IMAGES
  restorer plan IMAGES [--json | --dot | --svg]
  restorer restore IMAGES (--hold | --exec PID=CMD...) [--foreground]

Writes down the tables of descriptors of living processes, in the format of CRIU's images, and makes them again in
new processes. IMAGES is a folder, of this program or of CRIU.
\`restorer COMMAND --help\` prints the options of a command.

Options:
  --version        print the version
${help}
${exitCodes}`,
  dump: `Usage: restorer dump PID... --images DIR [OPTIONS]

Writes images of the descriptors of these processes, and of all that descend from them. They stand still meanwhile,
and go on afterwards.

Options:
  --images DIR     folder for the images; it is made when it is not there, and has to be empty
  --running        do not stop the processes: what changes meanwhile may be half of each
  --external       sockets may be connected to Unix sockets of other processes; they are marked so
  --lossy          leave out what images have no place for, with a warning, instead of refusing
  --json           print JSON
${help}
${exitCodes}`,
  show: `Usage: restorer show IMAGES|IMAGE [OPTIONS]

Shows images as a person reads them: the processes, and each descriptor in words. IMAGE is one file of a folder; its
records are shown one by one.

Options:
  --json           print the messages of all images as JSON, with the names that CRIU has for them
${help}
${exitCodes}`,
  check: `Usage: restorer check IMAGES [OPTIONS]

Finds out whether the images can be restored here, as restore would now, and tells all that stands against it.
Nothing is made or changed.

Options:
${planning}  --json           print JSON: { "sound", "images", "problems", "warnings" }
${help}
${exitCodes}`,
  plan: `Usage: restorer plan IMAGES [OPTIONS]

Shows how the images would be restored: the stages, and what each process opens, sends, takes and waits for. Nothing
is made or changed. What waits for each other in a circle is shown too, and the exit code is 3.

Options:
${planning}  --json           print JSON
  --dot            print a graph in the language of Graphviz: a column for each process, arrows to what is waited for
  --svg            draw that graph
  --all            one by one, also where there are many of a kind
${help}
${exitCodes}`,
  restore: `Usage: restorer restore IMAGES (--hold | --exec PID=CMD...) [OPTIONS]

Makes the processes of the images again, with their descriptors: all of them, or none. Whatever fails, the processes
are ended and the names that were made in the file system are taken away.

What a process becomes has to be said: with --exec it executes a program, which has exactly these descriptors; with
--hold the others wait until they are killed. The command returns when all is restored.

Options:
  --hold           processes without a program wait, with their descriptors
  --exec PID=CMD   this process of the images executes CMD: words as in a shell, found in PATH; as often as needed
  --foreground     stay until all processes have ended; SIGINT and SIGTERM end them
${planning}  --timeout MS     give up, and take all back, after this many milliseconds (default: 30000; 0: never)
  --json           print events as JSON, one a line: plan, warning, progress, restored, failed, ended
${help}
The program finds in XRESTORE_CLOEXEC which of its descriptors had been close-on-exec, as in 3,7.

${exitCodes}`,
}

/** What `--help` prints. */
export function helpText(command: CommandName | undefined): string {
  return texts[command ?? 'all']
}
