import { has, type Tty, type TtyInfoEntry } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import { controllingTerminals } from '../../plan/controlling-terminal.ts'
import type { PlanNode } from '../../plan/node.ts'
import type { TaskOps, Value } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { AT_FDCWD, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDWR } from '../flags.ts'
import type { OpenContext, Situation, StepContext } from '../kind.ts'
import { slavePath, ttyEntry, type Terminal } from './terminal.ts'
import { lockTermios, setTermios, takeAsIs } from './termios.ts'

const TIOCEXCL = 0x540c
const TIOCSTI = 0x5412
const TIOCSWINSZ = 0x5414
const TIOCPKT = 0x5420
const TIOCSPTLCK = 0x40045431
/** What the line discipline holds; behind that it lies in the buffer of the driver. */
const LINE_ROOM = 4095

/**
 * The step after which a terminal is as it was: what was queued on both sides, its settings, and at last what would keep
 * others from opening it. All its files are open by then.
 */
export function settingsOf(context: OpenContext, terminal: Terminal): PlanNode {
  const { master } = terminal
  const [first] = master?.files ?? []
  const label = `settings of ${terminal.index === undefined ? terminal.name : `pseudoterminal ${terminal.index}`}`
  return context.shared(label, () => ({
    task: first === undefined ? context.task : context.nodeOf(first).task,
    label,
    run: (step) => {
      const needed = [
        ...heldFiles(terminal).map((file) => step.need(step.nodeOf(file), 'open')),
        ...controllingTerminals(step)
          .on(terminal)
          .map((each) => step.need(each.node(step), 'restored')),
      ]
      if (needed.includes(false)) return { status: 1 }
      apply(step, terminal)
      return { status: 0 }
    },
  }))
}

function heldFiles({ master, slave }: Terminal): File[] {
  return [...(master?.files ?? []), ...slave.files].filter(({ fles }) => fles.length > 0)
}

function apply(step: StepContext, terminal: Terminal): void {
  const { ops, slotOf } = step
  const { master, slave } = terminal
  const masterFile = master?.files[0]
  const slaveFile = slave.files.find(({ fles }) => fles.length > 0)
  const masterSlot = masterFile === undefined ? undefined : slotOf(masterFile, ops)
  const queued = dataOf(slave.tty, step)
  // Only a slave takes what was queued for it.
  const isOwn = slaveFile === undefined && queued.length > 0
  const slaveSlot =
    slaveFile !== undefined ? slotOf(slaveFile, ops) : isOwn ? openSlave(step, terminal) : undefined
  const side = slaveSlot ?? masterSlot
  const tty = slave.tty ?? master?.tty
  if (side === undefined || tty === undefined) return
  fillQueues(step, terminal, { masterSlot, slaveSlot, tty })
  setAll(ops, side, tty)
  if (slaveSlot !== undefined && slaveFile !== undefined) {
    if (terminal.index !== undefined) setOwner(step, slaveFile, slaveSlot, slave.tty?.entry)
    if (slave.tty?.entry.exclusive === true) ops.call('ioctl', [{ slot: slaveSlot }, TIOCEXCL, 0])
  }
  if (masterSlot !== undefined && master?.tty !== undefined) setMaster(ops, masterSlot, master.tty.entry)
  if (isOwn && slaveSlot !== undefined) ops.drop(slaveSlot)
}

function openSlave(step: StepContext, terminal: Terminal): Slot {
  const flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
  return step.ops.open('openat', [AT_FDCWD, { text: slavePath(terminal, step) }, flags, 0])
}

interface Sides {
  readonly masterSlot: Slot | undefined
  readonly slaveSlot: Slot | undefined
  readonly tty: Tty
}

function fillQueues(
  step: StepContext,
  { master, slave }: Terminal,
  { masterSlot, slaveSlot, tty }: Sides,
): void {
  const { ops } = step
  const { termios } = tty.entry
  if (masterSlot === undefined || termios === undefined) return
  const toMaster = dataOf(master?.tty, step)
  const toSlave = dataOf(slave.tty, step)
  if (toMaster.length === 0 && toSlave.length === 0) return
  ops.call('ioctl', [
    { slot: slaveSlot ?? masterSlot },
    ...takeAsIs(termios, tty.controls ?? new Uint8Array()),
  ])
  insert(ops, masterSlot, toMaster, slaveSlot)
  if (slaveSlot !== undefined) insert(ops, slaveSlot, toSlave, masterSlot)
}

/** Byte by byte, for this is there when the call returns; what is written to the other side comes some time later. */
function insert(ops: TaskOps, slot: Slot, data: Uint8Array, other: Slot | undefined): void {
  for (const byte of data.subarray(0, LINE_ROOM))
    ops.call('ioctl', [{ slot }, TIOCSTI, { bytes: Uint8Array.of(byte) }])
  if (data.length > LINE_ROOM && other !== undefined) ops.write(other, data.subarray(LINE_ROOM))
}

/** What could be read from a side. */
export function dataOf(tty: Tty | undefined, { images }: Situation): Uint8Array {
  if (tty === undefined) return new Uint8Array()
  return Buffer.concat(images.ttyData.filter(({ ttyId }) => ttyId === tty.entry.id).map(({ data }) => data))
}

function setAll(ops: TaskOps, slot: Slot, { entry, controls, lockedControls }: Tty): void {
  const none = new Uint8Array()
  const { termios, termiosLocked, winsize } = entry
  if (termios !== undefined) ops.call('ioctl', [{ slot }, ...setTermios(termios, controls ?? none)])
  const locking = termiosLocked && lockTermios(termiosLocked, lockedControls ?? none)
  if (locking !== undefined) ops.call('ioctl', [{ slot }, ...locking])
  if (winsize !== undefined) {
    const { wsRow, wsCol, wsXpixel, wsYpixel } = winsize
    const words = new Uint16Array([wsRow, wsCol, wsXpixel, wsYpixel])
    ops.call('ioctl', [{ slot }, TIOCSWINSZ, { bytes: new Uint8Array(words.buffer) }])
  }
}

function setOwner(step: StepContext, file: File, slot: Slot, info: TtyInfoEntry | undefined): void {
  const { ops, model } = step
  if (info !== undefined && has(info, 'uid')) ops.call('fchown', [{ slot }, info.uid, info.gid])
  const name = model.files.get(ttyEntry(file).regfId)?.entry.reg
  if (name !== undefined && has(name, 'mode')) ops.call('fchmod', [{ slot }, name.mode & 0o7777])
}

function setMaster(ops: TaskOps, slot: Slot, { exclusive, packetMode, locked }: TtyInfoEntry): void {
  if (exclusive) ops.call('ioctl', [{ slot }, TIOCEXCL, 0])
  if (packetMode) ops.call('ioctl', [{ slot }, TIOCPKT, ops.store(1)])
  if (locked) ops.call('ioctl', [{ slot }, ...lock(ops, true)])
}

/** Whether slaves can be opened: they cannot when a pseudoterminal is made. */
export function lock(ops: TaskOps, isLocked: boolean): readonly [number, Value] {
  return [TIOCSPTLCK, ops.store(isLocked ? 1 : 0)]
}
