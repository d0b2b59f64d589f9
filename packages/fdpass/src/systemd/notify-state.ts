import { EMSGSIZE } from '../errno.ts'
import { FdPassError } from '../errors.ts'
import { invalid } from '../options.ts'

/** What a service tells its manager (sd_notify(3)). Fields that are not known are EINVAL, as are wrong values. */
export interface NotifyState {
  /** READY=1: the service has started, or has reloaded its configuration. */
  ready?: true | undefined
  /** RELOADING=1, and MONOTONIC_USEC, the time: it begins to reload. `ready` has to follow. */
  reloading?: true | undefined
  /** STOPPING=1: it begins to shut down. */
  stopping?: true | undefined
  /** STATUS: a line for people. */
  status?: string | undefined
  /** ERRNO: why it failed; as in errno(3), or negative, as errors of Node have it. */
  errno?: number | undefined
  /** BUSERROR: the same as an error name of D-Bus. */
  busError?: string | undefined
  /** MAINPID: which process of the service is the main one from now on. */
  mainPid?: number | undefined
  /** WATCHDOG=1: it is well. WATCHDOG=trigger: it is not, and the manager shall do as if it had not been heard. */
  watchdog?: true | 'trigger' | undefined
  /** WATCHDOG_USEC: another interval for the watchdog, in microseconds; 0 ends it. */
  watchdogUsec?: number | undefined
  /** EXTEND_TIMEOUT_USEC: the start, run or stop goes on; the next message comes within so many microseconds. */
  extendTimeoutUsec?: number | undefined
  /** Assignments that have no field here, by their names. */
  extra?: Readonly<Record<string, string>> | undefined
}

const SYSCALL = 'notify'
/** What systemd takes of a message (PIPE_BUF); it ignores longer ones. */
const MOST_BYTES = 4096
const MOST_ERRNO = 4095

type Encoder = (value: unknown, field: string) => string

const flag =
  (name: string): Encoder =>
  (value, field) => {
    if (value !== true) throw invalid(SYSCALL, `${field} is true, or left out`)
    return `${name}=1`
  }

const text =
  (name: string): Encoder =>
  (value, field) =>
    `${name}=${checkLine(value, field)}`

const integer =
  (name: string, least: number, most: number): Encoder =>
  (value, field) => {
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
      throw invalid(SYSCALL, `${field} is an integer from ${least} to ${most}`)
    }
    return `${name}=${String(value)}`
  }

const encoders: Readonly<Record<Exclude<keyof NotifyState, 'extra'>, Encoder>> = {
  ready: flag('READY'),
  reloading: (value, field) => {
    // CLOCK_MONOTONIC, as the manager compares it with its own.
    return `${flag('RELOADING')(value, field)}\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`
  },
  stopping: flag('STOPPING'),
  status: text('STATUS'),
  errno: (value, field) =>
    integer('ERRNO', 1, MOST_ERRNO)(typeof value === 'number' ? Math.abs(value) : value, field),
  busError: text('BUSERROR'),
  mainPid: integer('MAINPID', 1, 0x7fffffff),
  watchdog: (value, field) => {
    if (value !== true && value !== 'trigger') throw invalid(SYSCALL, `${field} is true or 'trigger'`)
    return value === true ? 'WATCHDOG=1' : 'WATCHDOG=trigger'
  },
  watchdogUsec: integer('WATCHDOG_USEC', 0, Number.MAX_SAFE_INTEGER),
  extendTimeoutUsec: integer('EXTEND_TIMEOUT_USEC', 1, Number.MAX_SAFE_INTEGER),
}

/** Assignments that are made otherwise. */
const otherwise: Readonly<Record<string, string>> = {
  READY: 'ready',
  RELOADING: 'reloading',
  MONOTONIC_USEC: 'reloading',
  STOPPING: 'stopping',
  STATUS: 'status',
  ERRNO: 'errno',
  BUSERROR: 'busError',
  MAINPID: 'mainPid',
  WATCHDOG: 'watchdog',
  WATCHDOG_USEC: 'watchdogUsec',
  EXTEND_TIMEOUT_USEC: 'extendTimeoutUsec',
  BARRIER: 'notifyBarrier()',
}

/** One that has a line end in it would be two; the manager ignores a message with NUL in it. */
function checkLine(value: unknown, field: string): string {
  if (typeof value !== 'string' || /[\n\r\0]/.test(value)) {
    throw invalid(SYSCALL, `${field} is a string of one line, without NUL`)
  }
  return value
}

function* extraAssignments(extra: unknown): Generator<string> {
  if (typeof extra !== 'object' || extra === null) throw invalid(SYSCALL, 'extra has strings by their names')
  for (const [name, value] of Object.entries(extra)) {
    if (!/^[A-Z][A-Z0-9_]*$/.test(name)) {
      throw invalid(SYSCALL, `${name} in extra is no name: capital letters, digits and _`)
    }
    const instead = otherwise[name]
    if (instead !== undefined) throw invalid(SYSCALL, `${name} in extra: there is ${instead} for that`)
    yield `${name}=${checkLine(value, name)}`
  }
}

function* assignments(state: NotifyState): Generator<string> {
  for (const [field, value] of Object.entries(state) as [string, unknown][]) {
    if (value === undefined) continue
    if (field === 'extra') yield* extraAssignments(value)
    else if (Object.hasOwn(encoders, field)) yield encoders[field as keyof typeof encoders](value, field)
    else {
      const known = [...Object.keys(encoders), 'extra'].join(', ')
      throw invalid(SYSCALL, `there is no field ${field}; there are ${known}`)
    }
  }
}

/** The message that says it. */
export function encodeState(state: NotifyState): Buffer {
  if (typeof (state as unknown) !== 'object' || (state as unknown) === null) {
    throw invalid(SYSCALL, 'the state is an object')
  }
  const message = Buffer.from([...assignments(state)].join('\n'))
  if (message.length === 0) throw invalid(SYSCALL, 'the state says nothing')
  if (message.length <= MOST_BYTES) return message
  throw new FdPassError(EMSGSIZE, SYSCALL, {
    detail: `the message has ${message.length} bytes, and managers ignore more than ${MOST_BYTES}`,
  })
}
