/** What /proc/PID/fdinfo/N says, see proc(5). */
export interface Fdinfo {
  readonly position: bigint
  /** Status flags and access mode; not O_CLOEXEC, which is the descriptor's. */
  readonly flags: number
  readonly cloexec: boolean
  readonly mountId: number
  /** What its kind and the locks on it add, a line each. */
  readonly lines: readonly string[]
}

export const O_CLOEXEC = 0o2000000

/** Undefined when it is none. */
export function parseFdinfo(text: string): Fdinfo | undefined {
  const match = /^pos:\t(\d+)\nflags:\t([0-7]+)\nmnt_id:\t(\d+)\n(?:ino:\t\d+\n)?/.exec(text)
  const [whole, position, octal, mount] = match ?? []
  if (whole === undefined || position === undefined || octal === undefined) return undefined
  const flags = Number.parseInt(octal, 8)
  return {
    position: BigInt(position),
    flags: flags & ~O_CLOEXEC,
    cloexec: (flags & O_CLOEXEC) !== 0,
    mountId: Number(mount),
    lines: text.length === whole.length ? [] : text.slice(whole.length).trimEnd().split('\n'),
  }
}

/** The value of a line `name: value`. */
export function valueOf(info: Fdinfo, name: string): string | undefined {
  const line = info.lines.find((at) => at.startsWith(`${name}:`))
  return line?.slice(name.length + 1).trim()
}

/** The values of a line of pairs, as `inotify wd:1 ino:2a sdev:800002`. */
export function pairsOf(line: string): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>()
  for (const [, name, value] of line.matchAll(/([\w-]+):\s*(\S+)/g)) {
    if (name !== undefined && value !== undefined) pairs.set(name, value)
  }
  return pairs
}

/** A hexadecimal value of such a pair; 0 when it is not there. */
export const hexadecimal = (pairs: ReadonlyMap<string, string>, name: string): number =>
  Number.parseInt(pairs.get(name) ?? '0', 16)
