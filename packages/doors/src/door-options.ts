import { DOOR_NO_CANCEL, DOOR_PRIVATE, DOOR_REFUSE_DESC, DOOR_UNREF, DOOR_UNREF_MULTI } from './attributes.ts'
import type { Construction } from './door.ts'
import { checkFields, invalid } from './errors.ts'
import type { DoorLimits } from './info-page.ts'
import { checkLimits, INT_MAX } from './limits.ts'
import type { ServerCreation } from './server-creation.ts'

/** Threads of a door's own. */
export interface ThreadOptions {
  /** Those that there are from the beginning; 1 unless told. With 0 callers wait until `addThread`. */
  min?: number | undefined
  /** The most that there may be; 16 unless told, or `min` if that is more. */
  max?: number | undefined
  /** Makes each; unless told, what `setServerCreation` has set. */
  create?: ServerCreation | undefined
}

export interface DoorOptions {
  /**
   * Whether `onUnreferenced` is called when the references drop to one: `once` (DOOR_UNREF), or each time
   * (DOOR_UNREF_MULTI).
   */
  unref?: false | 'once' | 'multi' | undefined
  /** Called after the calls that run have ended. See `door.info().attributes & DOOR_IS_UNREF` for how it is by then. */
  onUnreferenced?: (() => void) | undefined
  /** No descriptors in calls (DOOR_REFUSE_DESC). */
  refuseDescriptors?: boolean | undefined
  /** False: a procedure is not told when its caller goes (DOOR_NO_CANCEL). */
  cancel?: boolean | undefined
  /** For the procedure: `context.cookie`. */
  cookie?: unknown
  /** A number that everybody who has the door can see. */
  publicCookie?: bigint | undefined
  /** The least and the most bytes of a call, and the most descriptors. */
  dataMin?: number | undefined
  dataMax?: number | undefined
  descMax?: number | undefined
  /**
   * The procedure's `data` is memory that is used again: it is good until the procedure returns, or awaits. Saves a
   * copy of calls that are small, or go through shared memory.
   */
  reuseBuffer?: boolean | undefined
  /** Of a procedure in a module: threads that serve this door only (DOOR_PRIVATE). */
  private?: boolean | undefined
  /** The same, and how many. */
  threads?: ThreadOptions | undefined
}

const fields: readonly string[] = [
  'unref',
  'onUnreferenced',
  'refuseDescriptors',
  'cancel',
  'cookie',
  'publicCookie',
  'dataMin',
  'dataMax',
  'descMax',
  'reuseBuffer',
  'private',
  'threads',
]
const switches = ['refuseDescriptors', 'cancel', 'reuseBuffer', 'private'] as const
const MOST_THREADS = 16
/** Worker threads of one process. */
const MAX_THREADS = 1024

const unrefs: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [false, 0],
  ['once', DOOR_UNREF],
  ['multi', DOOR_UNREF_MULTI],
])

/** Throws DoorError EINVAL for what is unknown or of the wrong type. */
function checkOptions(options: DoorOptions, syscall: string): void {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw invalid(syscall, 'options are an object')
  checkFields(options, fields, syscall)
  for (const name of switches) {
    const value: unknown = options[name]
    if (value !== undefined && typeof value !== 'boolean') throw invalid(syscall, `${name} is true or false`)
  }
  const { onUnreferenced, publicCookie } = options
  if (onUnreferenced !== undefined && typeof onUnreferenced !== 'function')
    throw invalid(syscall, 'onUnreferenced is a function')
  if (publicCookie !== undefined && typeof (publicCookie as unknown) !== 'bigint')
    throw invalid(syscall, 'publicCookie is a bigint')
  if (publicCookie !== undefined && BigInt.asIntN(64, publicCookie) !== publicCookie)
    throw invalid(syscall, 'publicCookie is a bigint of 64 bits')
}

function attributesOf(
  { unref = false, refuseDescriptors = false, cancel = true, threads, private: own }: DoorOptions,
  syscall: string,
): number {
  const kind = unrefs.get(unref)
  if (kind === undefined) throw invalid(syscall, 'unref is false, once or multi')
  return (
    kind |
    (refuseDescriptors ? DOOR_REFUSE_DESC : 0) |
    (cancel ? 0 : DOOR_NO_CANCEL) |
    (own === true || threads !== undefined ? DOOR_PRIVATE : 0)
  )
}

function limitsOf(options: DoorOptions, attributes: number, syscall: string): DoorLimits {
  return checkLimits(
    {
      dataMin: options.dataMin ?? 0,
      dataMax: options.dataMax ?? Number.MAX_SAFE_INTEGER,
      descMax: options.descMax ?? (options.refuseDescriptors === true ? 0 : INT_MAX),
    },
    attributes,
    syscall,
  )
}

/** What all doors have, checked. */
export function partsOf(
  options: DoorOptions,
  syscall: string,
): Pick<Construction, 'attributes' | 'limits' | 'publicCookie' | 'onUnreferenced'> {
  checkOptions(options, syscall)
  const attributes = attributesOf(options, syscall)
  const { publicCookie = 0n, onUnreferenced } = options
  return { attributes, limits: limitsOf(options, attributes, syscall), publicCookie, onUnreferenced }
}

/** How many threads. Throws DoorError EINVAL. */
export function threadsOf(
  threads: ThreadOptions,
  syscall: string,
): { min: number; max: number; create: ServerCreation | undefined } {
  if (typeof threads !== 'object' || (threads as unknown) === null)
    throw invalid(syscall, 'threads is { min, max, create }')
  checkFields(threads, ['min', 'max', 'create'], syscall)
  const { min = 1, max = Math.max(min, MOST_THREADS), create } = threads
  const whole = (value: number, least: number): boolean => Number.isInteger(value) && value >= least
  if (!whole(min, 0) || !whole(max, Math.max(1, min)) || max > MAX_THREADS)
    throw invalid(syscall, `threads are min 0 or more, and max from there up to ${MAX_THREADS}`)
  if (create !== undefined && typeof create !== 'function')
    throw invalid(syscall, 'threads.create is a function')
  return { min, max, create }
}
