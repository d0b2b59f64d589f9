import {
  ARGUMENT,
  CODE,
  FLAG,
  FORK,
  SCRATCH_SIZE,
  type Argument,
  type Slot,
  type TaskIndex,
} from '../program/op.ts'
import { SYSCALL, type SyscallName } from '../program/syscall.ts'
import type { Payload } from '../images/index.ts'
import type { Task } from '../model/task.ts'
import { OpDraft, type OpList } from './op-list.ts'
import type { Mark } from './node.ts'

/** An argument of a system call. */
export type Value =
  | number
  | bigint
  | { readonly slot: Slot }
  | { readonly bytes: Uint8Array }
  | { readonly text: string }
  | { readonly pid: Task }
  /** The name of what is in a slot, through /proc: to open it anew. */
  | { readonly path: Slot }
  /** Memory of the task from this offset, zeroed at its start. */
  | { readonly scratch: number }
  | 'pair'

export interface CallOptions {
  /** This errno (positive), or any of them with ANY_ERROR, counts as success. */
  readonly tolerate?: number
  /** What the result, under the mask, has to be. */
  readonly expect?: number | bigint
  readonly mask?: number | bigint
  /** What this call does to names, so that it is taken back when the restore fails. */
  readonly changes?: NameChange
}

/** A change of names in the file system. */
export type NameChange =
  | { readonly kind: 'create' | 'createFolder'; readonly path: string }
  /** What has the name `path` is called `to`, for as long as that is not removed. */
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }
  /** What has been made under the name `path` is called `to` from now on. */
  | { readonly kind: 'move'; readonly path: string; readonly to: string }
  /** A name that was made by one of the above goes again, or what was renamed has its old name back. */
  | { readonly kind: 'remove'; readonly path: string }

export interface Message {
  readonly data: Uint8Array
  readonly rights?: readonly Slot[]
  /** A struct sockaddr. */
  readonly to?: Uint8Array
  readonly flags?: number
}

/** What a new process shares with the one that forks it. */
export interface Sharing {
  readonly files: boolean
  readonly fs: boolean
  /** The parent. */
  readonly sibling: boolean
}

const F_DUPFD_CLOEXEC = 1030
/** Where store() puts them: the end of the memory. */
const STORE_PLACE = SCRATCH_SIZE - 64

/** Adds operations to the program of one task. */
export class TaskOps {
  readonly task: TaskIndex
  readonly #list: OpList
  readonly #unit: number

  constructor(list: OpList, task: TaskIndex, unit: number) {
    this.#list = list
    this.task = task
    this.#unit = unit
  }

  /** The same task, as a part of another node. */
  as(unit: number): TaskOps {
    return new TaskOps(this.#list, this.task, unit)
  }

  /** A system call whose result is no descriptor. */
  call(name: SyscallName, values: readonly Value[], options: CallOptions = {}): void {
    this.#push(name, values, options)
  }

  /** A system call whose result is a new descriptor. */
  open(name: SyscallName, values: readonly Value[], options: CallOptions = {}): Slot {
    const out = this.#list.newSlot()
    this.#push(name, values, options, { out })
    return out
  }

  /** A system call that makes two descriptors; one of its values is 'pair'. */
  pair(name: SyscallName, values: readonly Value[], options: CallOptions = {}): [Slot, Slot] {
    const out = this.#list.newSlot()
    const out2 = this.#list.newSlot()
    this.#push(name, values, options, { out, out2 })
    return [out, out2]
  }

  /** Writes all bytes, at the place where the descriptor stands. */
  write(slot: Slot, bytes: Uint8Array): void {
    this.#add(CODE.write, [slotArgument(slot), blob(this.#list.bytes(bytes)), value(bytes.length)])
  }

  /** Writes what belongs to an image, wherever it is: at `to`, or where the descriptor stands. */
  fill(slot: Slot, payload: Payload, to?: number): void {
    if (!(payload instanceof Uint8Array)) {
      const { path, offset, length } = payload
      this.copyFile(slot, path, { at: offset, length, ...(to === undefined ? {} : { to }) })
    } else {
      if (to !== undefined) this.call('lseek', [{ slot }, to, 0])
      this.write(slot, payload)
    }
  }

  /** Copies a part of a file of ours, an image, to a descriptor: at `to`, or where that stands. */
  copyFile(slot: Slot, path: string, part: { at: number; length: number; to?: number }): void {
    const args = [
      slotArgument(slot),
      blob(this.#list.text(path)),
      value(part.at),
      value(part.length),
      value(part.to ?? -1),
    ]
    this.#add(CODE.copyFile, args)
  }

  /** Sends a message through a socket. */
  send(slot: Slot, { data, rights = [], to, flags = 0 }: Message): void {
    const numbers = new Uint8Array(new Uint32Array(rights).buffer)
    const packed = (count: number, at: number): bigint => (BigInt(count) << 32n) | BigInt(at)
    const args = [
      slotArgument(slot),
      blob(this.#list.bytes(data)),
      value(data.length),
      value(rights.length === 0 ? 0 : packed(rights.length, this.#list.bytes(numbers))),
      value(to === undefined ? 0 : packed(to.length, this.#list.bytes(to))),
      value(flags),
    ]
    this.#add(CODE.send, args)
  }

  /** The master of the pseudoterminal with this index, by the path of a multiplexer: /dev/ptmx. */
  openPtmx(path: string, index: number, flags: number): Slot {
    const out = this.#list.newSlot()
    this.#add(CODE.openPtmx, [value(index), value(flags), blob(this.#list.text(path))], out)
    return out
  }

  /** As many pidfds of one process that has ended, each with its flags. */
  deadPidfds(flags: readonly number[]): readonly Slot[] {
    const out = flags.map(() => this.#list.newSlot())
    const words = new Uint8Array(new Uint32Array(flags).buffer)
    this.#add(CODE.deadPidfds, [blob(this.#list.bytes(words)), value(flags.length), value(out[0] ?? 0)])
    return out
  }

  /** Takes a descriptor away from its number, out of the way of all numbers that are wanted. */
  moveAside(slot: Slot): Slot {
    const aside = this.open('fcntl', [{ slot }, F_DUPFD_CLOEXEC, 0])
    this.#list.keepAside(aside)
    this.drop(slot)
    return aside
  }

  /** Gives a descriptor its number. */
  place(slot: Slot, fd: number, cloexec: boolean): void {
    if (this.#list.placeAtOnce(slot, fd, cloexec)) return
    this.#add(CODE.move, [slotArgument(slot), value(fd), value(cloexec ? 1 : 0)])
  }

  /** Makes another descriptor of it. */
  copy(slot: Slot, fd: number, cloexec: boolean): void {
    this.#add(CODE.copy, [slotArgument(slot), value(fd), value(cloexec ? 1 : 0)])
  }

  drop(slot: Slot): void {
    this.#add(CODE.drop, [slotArgument(slot)])
  }

  /** A descriptor of what another task has in a slot. */
  fetch(from: TaskIndex, slot: Slot): Slot {
    const out = this.#list.newSlot()
    this.#list.awaitFilled(this.task, slot, this.#unit)
    this.#add(CODE.fetch, [value(from), value(slot)], out)
    return out
  }

  /** Names what the helper has opened and this task has inherited. Whatever else was inherited is closed. */
  adopt(slots: readonly Slot[]): readonly Slot[] {
    const out = slots.map(() => this.#list.newSlot())
    const numbers = new Uint8Array(new Uint32Array(slots).buffer)
    const args = [value(0), blob(this.#list.bytes(numbers)), value(slots.length), value(out[0] ?? 0)]
    this.#add(CODE.adopt, args)
    return out
  }

  /** Puts numbers, or ids of processes, side by side into the memory of the task as ints, for a call that takes their address. */
  store(...values: readonly (number | { readonly pid: Task } | { readonly slot: Slot })[]): {
    readonly scratch: number
  } {
    for (const [place, given] of values.entries()) this.#store(given, STORE_PLACE + 4 * place, 4)
    return { scratch: STORE_PLACE }
  }

  /** The same with eight bytes for each, for a structure in which an address is: that of the bytes. */
  storeLong(...values: readonly (number | { readonly bytes: Uint8Array })[]): Value {
    for (const [place, given] of values.entries()) this.#store(given, STORE_PLACE + 8 * place, 8)
    return { scratch: STORE_PLACE }
  }

  #store(given: Value, place: number, size: 4 | 8): void {
    this.#add(CODE.store, [value(place), this.#argument(given), value(size)])
  }

  /** A struct itimerspec whose value, a time that is left, is made a time of a clock. */
  fromNow(clock: number, itimerspec: Uint8Array): Value {
    this.#add(CODE.fromNow, [value(clock), blob(this.#list.bytes(itimerspec))])
    return { scratch: 0 }
  }

  fork(child: Task, { files, fs, sibling }: Sharing, pid: number): void {
    const flags = (files ? FORK.files : 0) | (fs ? FORK.fs : 0) | (sibling ? FORK.sibling : 0)
    this.#list.noteFork(child.index, this.task)
    this.#add(CODE.fork, [value(child.index), value(flags), value(pid)])
  }

  barrier(): void {
    this.#add(CODE.barrier, [])
  }

  sweep(): void {
    this.#add(CODE.sweep, [])
  }

  exec(path: string, vector: readonly string[], environment: readonly string[]): void {
    const strings = (list: readonly string[]): Argument =>
      blob(this.#list.bytes(Buffer.from(list.map((text) => `${text}\0`).join('') + '\0')))
    this.#add(CODE.exec, [blob(this.#list.text(path)), strings(vector), strings(environment)])
  }

  /** What follows runs after this. */
  after(marks: readonly Mark[]): void {
    for (const mark of marks) this.#list.awaitOp(this.task, mark, this.#unit)
  }

  #push(name: SyscallName, values: readonly Value[], options: CallOptions, more: Slots = none): void {
    const { tolerate, expect, mask, changes } = options
    let flags = more.out === undefined ? 0 : FLAG.out
    if (expect !== undefined) flags |= FLAG.expect
    if (changes !== undefined && changes.kind !== 'remove') flags |= FLAG.undo
    // An array that grows would have room for many more.
    const args = values.map((given) => this.#argument(given))
    const op = new OpDraft(CODE.syscall, this.task, this.#unit, args)
    op.call = SYSCALL[name]
    op.flags = flags
    op.out = more.out
    op.out2 = more.out2
    op.tolerate = tolerate
    if (expect !== undefined) {
      op.expect = BigInt(expect)
      if (mask !== undefined) op.mask = BigInt.asUintN(64, BigInt(mask))
    }
    const index = this.#list.push(op)
    if (changes !== undefined) this.#list.noteChange(index, changes)
  }

  #argument(given: Value): Argument {
    if (typeof given === 'number' || typeof given === 'bigint') return value(given)
    if (given === 'pair') return { kind: ARGUMENT.pair, value: 0 }
    if ('slot' in given) return slotArgument(given.slot)
    if ('bytes' in given) return blob(this.#list.bytes(given.bytes))
    if ('text' in given) return blob(this.#list.text(given.text))
    if ('path' in given) return { kind: ARGUMENT.path, value: given.path }
    if ('pid' in given) return { kind: ARGUMENT.pid, value: given.pid.index }
    return { kind: ARGUMENT.scratch, value: given.scratch }
  }

  #add(code: number, args: readonly Argument[], out?: Slot): void {
    const op = new OpDraft(code, this.task, this.#unit, args)
    op.out = out
    if (out !== undefined) op.flags = FLAG.out
    this.#list.push(op)
  }
}

/** What an operation fills. */
interface Slots {
  readonly out?: Slot
  readonly out2?: Slot
}

const none: Slots = {}

/** Most arguments are one of these: there is one object for each. */
const LEAST = -128
const COMMON = Array.from({ length: 1024 }, (_, index) => newValue(index + LEAST))

function value(given: number | bigint): Argument {
  const isCommon = typeof given === 'number' && given >= LEAST && given < LEAST + COMMON.length
  return (isCommon ? COMMON[given - LEAST] : undefined) ?? newValue(given)
}

function newValue(given: number | bigint): Argument {
  return { kind: ARGUMENT.value, value: given }
}

function slotArgument(slot: Slot): Argument {
  return { kind: ARGUMENT.slot, value: slot }
}

function blob(at: number): Argument {
  return { kind: ARGUMENT.blob, value: at }
}
