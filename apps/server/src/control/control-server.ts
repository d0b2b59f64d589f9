import { createDoor, type CallContext, type Door } from '@x/doors'
import * as v from 'valibot'
import {
  commandSchema,
  longestRequest,
  mountRequestSchema,
  nothingSchema,
  replaceRequestSchema,
  restartRequestSchema,
  unmountRequestSchema,
} from './control-protocol.ts'
import type { Control, OperationName } from './control-protocol.ts'
import { ControlName } from './control-name.ts'
import { ControlError, codeOf, messageOf } from '../errors.ts'
import { refusal } from '../json-message/answer.ts'
import { decode, encode } from '../json-message/json-message.ts'
import { expositionType } from '../metrics/exposition.ts'
import { issueLines } from '../config/strict-object.ts'

type Operation = (control: Control, request: unknown) => Buffer | Promise<Buffer>

const operations: Readonly<Record<OperationName, Operation>> = {
  mounts: operation(nothingSchema, (control) => encode({ mounts: control.mounts() })),
  status: operation(nothingSchema, (control) => encode(control.status())),
  metrics: operation(nothingSchema, (control) =>
    encode({ type: expositionType }, [Buffer.from(control.metrics())]),
  ),
  health: operation(nothingSchema, (control) => encode(control.health())),
  mount: operation(mountRequestSchema, async (control, request) =>
    encode({ mount: await control.mount(request) }),
  ),
  replace: operation(replaceRequestSchema, async (control, request) => {
    const { mount, drained } = await control.replace(request)
    await drained
    return encode({ mount })
  }),
  unmount: operation(unmountRequestSchema, async (control, request) => {
    await control.unmount(request)
    return encode({})
  }),
  reload: operation(nothingSchema, async (control) => encode(await control.reload())),
  restart: operation(restartRequestSchema, async (control, request) =>
    encode(await control.restart(request)),
  ),
}

/** Milliseconds for the process that has taken over to put its name in the place of this one's. */
const CLAIM = 5000
/** Milliseconds for the commands in progress when the server ends, and for their callers to read the answers. */
const GRACE = 1000
const READING = 500

/** Serves a {@link Control} by a door until it is closed. */
export class ControlServer implements AsyncDisposable {
  readonly path: string
  readonly #control: Control
  readonly #door: Door
  #name: ControlName | undefined
  /** Of each command in progress: answers it before it is done. */
  readonly #running = new Set<() => void>()
  #closed: Promise<void> | undefined

  private constructor(path: string, control: Control) {
    this.path = path
    this.#control = control
    // Whoever gives up has asked for it: what was begun goes on.
    const options = { dataMax: longestRequest, refuseDescriptors: true, cancel: false }
    this.#door = createDoor((data, context) => this.#command(data, context), options)
  }

  /**
   * Resolves once commands are taken.
   * @throws {ControlError} ERR_CONTROL_IN_USE or ERR_CONTROL_PATH; other errors are those of bind(2).
   */
  static listen(path: string, control: Control): Promise<ControlServer> {
    return new ControlServer(path, control).#named((door) => ControlName.attach(door, path))
  }

  /** The same beside the path, where another server takes commands until this one is to: see {@link claim}. */
  static listenBeside(path: string, control: Control): Promise<ControlServer> {
    return new ControlServer(path, control).#named((door) => ControlName.attachBeside(door, path))
  }

  /** Takes the commands from now on, also back from a server that has taken the name. */
  claim(): void {
    this.#name?.claim()
  }

  /** Takes no more commands, removes the name, and waits up to a second for those in progress. */
  close(): Promise<void> {
    if (this.#closed === undefined) this.#name?.remove()
    this.#closed ??= this.#finish()
    return this.#closed
  }

  /** Resolves when another process's name has taken the place of this one's, or when that is late. */
  async replaced(): Promise<void> {
    await this.#name?.replaced(CLAIM)
  }

  /** Takes commands until another process's name is there, and waits for those in progress. */
  leave(): Promise<void> {
    this.#closed ??= this.#leave()
    return this.#closed
  }

  async #leave(): Promise<void> {
    await this.replaced()
    this.#name?.leave()
    await this.#finish()
  }

  async #named(attach: (door: Door) => Promise<ControlName>): Promise<this> {
    try {
      this.#name = await attach(this.#door)
      return this
    } catch (error) {
      this.#door.close()
      throw error
    }
  }

  async #finish(): Promise<void> {
    const cut = setTimeout(() => {
      for (const answer of this.#running) answer()
    }, GRACE)
    let late: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      late = setTimeout(resolve, GRACE + READING)
    })
    await Promise.race([this.#door.revoke(), limit])
    clearTimeout(cut)
    clearTimeout(late)
  }

  #command(data: Buffer | null, context: CallContext): Promise<Buffer> {
    return new Promise((resolve) => {
      const cut = (): void => {
        resolve(refusal('ECONNRESET', 'the server has ended; the command may have been done, or not'))
      }
      this.#running.add(cut)
      void answer(this.#control, data, context).then((reply) => {
        this.#running.delete(cut)
        resolve(reply)
      })
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

async function answer(control: Control, data: Buffer | null, context: CallContext): Promise<Buffer> {
  try {
    checkCaller(context)
    const { operation, request } = parse(data)
    return await operation(control, request)
  } catch (error) {
    const code = codeOf(error)
    return refusal(code === '' ? 'ERR_INTERNAL' : code, messageOf(error))
  }
}

/** The name's mode keeps others away; the door itself may have been passed on to one. */
function checkCaller({ caller: { uid } }: CallContext): void {
  if (uid === 0 || uid === process.getuid?.()) return
  throw new ControlError('EPERM', 'only the user of the server, and root, may command it')
}

function parse(data: Buffer | null): { operation: Operation; request: unknown } {
  const message = decode(data)
  if (message === undefined || message.bytes.length > 0)
    throw malformed('a command is the length of a JSON text (32 bits, little endian), and that text')
  const json = v.safeParse(commandSchema, message.json)
  if (!json.success) throw malformed(issueLines(json.issues).join('; '))
  const { operation: name, ...request } = json.output
  return { operation: operations[name], request }
}

const malformed = (message: string): ControlError => new ControlError('ERR_CONTROL_PROTOCOL', message)

function operation<T>(
  schema: v.GenericSchema<unknown, T>,
  run: (control: Control, request: T) => Buffer | Promise<Buffer>,
): Operation {
  return (control, request) => {
    const parsed = v.safeParse(schema, request)
    if (!parsed.success) throw malformed(issueLines(parsed.issues).join('; '))
    return run(control, parsed.output)
  }
}
