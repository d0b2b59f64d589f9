import type { Fd } from '@x/fdpass'
import { binding } from './binding.ts'
import { callerOf, type Caller } from './caller.ts'
import { DoorError, E } from './errors.ts'
import type { CallContext, ServedDoor } from './procedure.ts'
import type { TakenCall } from './taken-call.ts'

/** A call while its procedure runs. What most procedures do not look at is made when it is looked at. */
export class RunningCall implements CallContext {
  readonly call: TakenCall
  readonly #served: ServedDoor
  #controller: AbortController | undefined
  #gone = false

  constructor(call: TakenCall, served: ServedDoor) {
    this.call = call
    this.#served = served
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#gone) this.#controller.abort(callerGone())
    return this.#controller.signal
  }

  get aborted(): boolean {
    if (!this.#served.cancels) return false
    return this.#gone || binding.sessionAborted(this.call.session, this.call.sequence)
  }

  /** Outside of the call it is nobody's. */
  get caller(): Caller {
    if (this.call.answered) throw new DoorError(E.EINVAL, 'door_ucred', { detail: 'the call is over' })
    return callerOf(this.call.session)
  }

  get fds(): readonly Fd[] {
    return this.call.fds
  }

  get cookie(): unknown {
    return this.#served.cookie
  }

  /** The caller has gone, or does not wait any more. */
  cancel(): void {
    if (!this.#served.cancels) return
    this.#gone = true
    this.#controller?.abort(callerGone())
  }
}

const callerGone = (): DoorError => new DoorError(E.EINTR, 'door_call', { detail: 'the caller has gone' })
