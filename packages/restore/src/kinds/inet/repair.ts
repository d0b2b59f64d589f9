import type { TcpStreamEntry } from '../../images/index.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { setOption } from '../socket-options.ts'
import { SOL_TCP } from './options.ts'

/*
 * TCP_REPAIR (linux/tcp.h): a socket in repair mode takes the state of a connection instead of making one, and what is
 * done to it sends nothing, a close neither.
 */

const TCP_REPAIR = 19
const TCP_REPAIR_QUEUE = 20
const TCP_QUEUE_SEQ = 21
const TCP_REPAIR_OPTIONS = 22
const TCP_TIMESTAMP = 24
const TCP_REPAIR_WINDOW = 29

/** What TCP_REPAIR is set to. */
const REPAIR = {
  off: 0,
  on: 1,
  /** Off, without the probe that asks the peer for its window. */
  offSilently: -1,
} as const

const QUEUE = { none: 0, receive: 1, send: 2 } as const

/** Bits of what a connection has agreed on (TCPI_OPT_*). */
export const OPTION = { timestamps: 1, sack: 2, windowScale: 4 } as const

/** Kinds of TCP options in TCP_REPAIR_OPTIONS. */
const MAXSEG = 2
const WINDOW = 3
const SACK_PERMITTED = 4
const TIMESTAMP = 8

/** A struct tcp_repair_window. */
export interface Window {
  readonly sndWl1: number
  readonly sndWnd: number
  readonly maxWindow: number
  readonly rcvWnd: number
  readonly rcvWup: number
}

export function setRepair(ops: TaskOps, slot: Slot, mode: keyof typeof REPAIR): void {
  setOption(ops, slot, [SOL_TCP, TCP_REPAIR], REPAIR[mode])
}

export function selectQueue(ops: TaskOps, slot: Slot, queue: keyof typeof QUEUE): void {
  setOption(ops, slot, [SOL_TCP, TCP_REPAIR_QUEUE], QUEUE[queue])
}

/** Says where a queue begins. */
export function setSequence(ops: TaskOps, slot: Slot, queue: 'receive' | 'send', seq: number): void {
  selectQueue(ops, slot, queue)
  setOption(ops, slot, [SOL_TCP, TCP_QUEUE_SEQ], seq)
}

/** What both sides have agreed on when the connection was made. */
export function repairOptions(ops: TaskOps, slot: Slot, entry: TcpStreamEntry): void {
  const { optMask, sndWscale, rcvWscale, mssClamp, timestamp } = entry
  const options = [MAXSEG, mssClamp]
  if ((optMask & OPTION.sack) !== 0) options.push(SACK_PERMITTED, 0)
  if ((optMask & OPTION.windowScale) !== 0) options.push(WINDOW, sndWscale | (rcvWscale << 16))
  if ((optMask & OPTION.timestamps) !== 0) options.push(TIMESTAMP, 0)
  setWords(ops, slot, TCP_REPAIR_OPTIONS, options)
  if ((optMask & OPTION.timestamps) !== 0) setOption(ops, slot, [SOL_TCP, TCP_TIMESTAMP], timestamp)
}

export function repairWindow(ops: TaskOps, slot: Slot, window: Window): void {
  const { sndWl1, sndWnd, maxWindow, rcvWnd, rcvWup } = window
  setWords(ops, slot, TCP_REPAIR_WINDOW, [sndWl1, sndWnd, maxWindow, rcvWnd, rcvWup])
}

function setWords(ops: TaskOps, slot: Slot, option: number, words: readonly number[]): void {
  const bytes = new Uint8Array(Uint32Array.from(words).buffer)
  ops.call('setsockopt', [{ slot }, SOL_TCP, option, { bytes }, bytes.length])
}
