import {
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  readdirSync,
  renameSync,
  unlinkSync,
  watch,
  type Dirent,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { openDoorSync, repair, type Door } from '@x/doors'
import { Fd } from '@x/fdpass'
import { ControlClient } from './control-client.ts'
import { ControlError, codeOf } from '../errors.ts'

const OWNER_ONLY = 0o600
/** Milliseconds for whoever holds the name to say who it is. */
const ANSWER = 2000
const O_PATH = 0o10000000

/** The name of a door that takes commands. */
export class ControlName {
  readonly #door: Door
  readonly #path: string
  /** The file itself, whose number nobody else's file gets while this is open. */
  #file: Fd
  /** Where it is while it is beside the path. */
  #aside: string | undefined
  /** It was put there: the door does not know of that. */
  #claimed = false
  #replaced: Promise<void> | undefined

  private constructor(door: Door, path: string, aside?: string) {
    this.#door = door
    this.#path = path
    this.#aside = aside
    this.#file = fileAt(aside ?? path)
  }

  /**
   * Names the door. The name of a server that is gone is taken over; a live one is left alone.
   * @throws {ControlError} ERR_CONTROL_IN_USE naming who holds the name, or ERR_CONTROL_PATH for another kind of file
   * there, or a folder in which it cannot be made. Other errors are those of bind(2), with their codes.
   */
  static async attach(door: Door, path: string): Promise<ControlName> {
    const status = lstatSync(path, { throwIfNoEntry: false })
    if (status !== undefined && !status.isSocket()) {
      throw new ControlError(
        'ERR_CONTROL_PATH',
        `${path} is not a socket; remove it or choose another path with --control`,
      )
    }
    removeLeftovers(path)
    await attach(door, path)
    return new ControlName(door, path)
  }

  /** Names it beside the path, where another server's door is, until {@link claim} puts it there. */
  static async attachBeside(door: Door, path: string): Promise<ControlName> {
    const aside = asideOf(path)
    removeLeftovers(path)
    await attach(door, aside)
    return new ControlName(door, path, aside)
  }

  /**
   * Takes the place of the other server's: at any moment one of the two is there. Also back from one that has taken it.
   */
  claim(): void {
    if (this.#aside === undefined && isAt(this.#file, this.#path)) return
    renameSync(this.#aside ?? this.#renewed(), this.#path)
    this.#aside = undefined
    this.#claimed = true
  }

  /** Of a door whose name is gone: a new one beside the path. */
  #renewed(): string {
    const aside = asideOf(this.#path)
    // So that it sees now that it has none.
    this.#door.detach()
    this.#door.attach(aside, { mode: OWNER_ONLY, reclaim: true })
    this.#file.close()
    this.#file = fileAt(aside)
    this.#aside = aside
    this.#replaced = undefined
    this.#claimed = false
    return aside
  }

  /** Resolves when it has the path no more, because another one's was put there, or after so many milliseconds. */
  replaced(limit: number): Promise<void> {
    this.#replaced ??= this.#waitForOther(limit)
    return this.#replaced
  }

  async #waitForOther(limit: number): Promise<void> {
    const over = new AbortController()
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, limit)
      over.signal.addEventListener('abort', () => {
        clearTimeout(late)
      })
      const look = (): void => {
        if (!isAt(this.#file, this.#path)) resolve()
      }
      try {
        // inotify(7) on the inode itself: the loss of a name is a change of its attributes.
        watch(`/proc/self/fd/${this.#file.fd}`, { signal: over.signal }, look).on('error', resolve)
      } catch {
        // Nothing more can be watched (fs.inotify.max_user_watches).
        resolve()
      }
      look()
    })
    over.abort()
  }

  /** Takes it away, unless something else is there by now. */
  remove(): void {
    try {
      if (!this.#claimed) this.#door.detach()
      else if (isAt(this.#file, this.#path)) unlinkSync(this.#path)
    } catch {
      // Whoever closes has no right to it any more: the path stays, and nobody answers there.
    }
    this.leave()
  }

  /** Has nothing to do with it any more. */
  leave(): void {
    this.#file.close()
  }
}

const asideOf = (path: string): string => `${path}.${process.pid}`

const fileAt = (path: string): Fd => Fd.open(path, O_PATH | constants.O_NOFOLLOW)

function isAt(file: Fd, path: string): boolean {
  try {
    const there = lstatSync(path, { bigint: true })
    const own = fstatSync(file.fd, { bigint: true })
    return there.ino === own.ino && there.dev === own.dev
  } catch {
    // Nothing is there, or nobody here sees it any more.
    return false
  }
}

async function attach(door: Door, path: string): Promise<void> {
  try {
    door.attach(path, { mode: OWNER_ONLY, reclaim: true })
  } catch (error) {
    throw await attachError(path, error)
  }
  // Another one may have taken it for a dead one's between bind(2) and listen(2).
  if (!leadsTo(path, door)) throw await heldError(path)
}

function leadsTo(path: string, door: Door): boolean {
  try {
    using found = openDoorSync(path, { timeout: ANSWER, sharedMemory: false })
    return found.info().uniquifier === door.info().uniquifier
  } catch {
    return false
  }
}

async function attachError(path: string, error: unknown): Promise<unknown> {
  const code = codeOf(error)
  if (code === 'EBUSY') return heldError(path)
  if (code !== 'EACCES' && code !== 'ENOENT') return error
  const what = existsSync(dirname(path)) ? 'may not be written to' : 'does not exist'
  return new ControlError(
    'ERR_CONTROL_PATH',
    `${path} cannot be made, for its folder ${what}; make the folder so, or choose another path with --control`,
    { cause: error },
  )
}

async function heldError(path: string): Promise<ControlError> {
  const remedy = 'stop it first, or choose another path with --control'
  try {
    const { pid, host, port } = await new ControlClient(path).status(AbortSignal.timeout(ANSWER))
    const message = `${path} is held by the server with process id ${pid} at ${host} port ${port}; ${remedy}`
    return new ControlError('ERR_CONTROL_IN_USE', message)
  } catch (cause) {
    if (codeOf(cause) === 'EACCES') {
      const message = `${path} belongs to another user; choose another path with --control`
      return new ControlError('ERR_CONTROL_PATH', message, { cause })
    }
    const message = `${path} is held by a process that does not answer as this server; ${remedy}`
    return new ControlError('ERR_CONTROL_IN_USE', message, { cause })
  }
}

/** Removes the names beside the path of processes that were killed before they took over. */
function removeLeftovers(path: string): void {
  const prefix = `${basename(path)}.`
  const folder = dirname(path)
  for (const entry of entriesOf(folder)) {
    const pid = entry.name.startsWith(prefix) ? entry.name.slice(prefix.length) : ''
    if (!entry.isSocket() || !/^[1-9]\d{0,6}$/u.test(pid) || isAlive(Number(pid))) continue
    try {
      repair(join(folder, entry.name))
    } catch {
      // Somebody else's.
    }
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    // What is wrong with it is told when the name is made.
    return []
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}
