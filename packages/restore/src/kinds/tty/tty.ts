import { FdType, TtyType } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { DescriptorTable } from '../../model/task.ts'
import { controllingTerminals } from '../../plan/controlling-terminal.ts'
import type { Slot } from '../../program/op.ts'
import { AT_FDCWD, O_ASYNC, O_CLOEXEC, O_LARGEFILE, O_NOCTTY, onlyAtCreation } from '../flags.ts'
import type { FileKind, OpenContext, Situation } from '../kind.ts'
import { restoreOwner } from '../owner.ts'
import { setStatusFlags } from '../status-flags.ts'
import { checkTerminal } from './check.ts'
import { hungUp, momentaryMaster } from './hung-up.ts'
import { lock, settingsOf } from './settings.ts'
import { terminals, ttyEntry, type Terminal } from './terminal.ts'

const TIOCGPTPEER = 0x5441

/**
 * Terminals (tty(4), pty(7)): both sides of pseudoterminals under their index, others by their name, and /dev/tty, which
 * is the terminal of its session. None is taken as controlling terminal by being opened.
 */
export const ttyKind: FileKind = {
  name: 'terminal',
  types: [FdType.TTY],
  describe,
  mayOpen,
  check: (file, situation) => checkTerminal(file, situation),
  open(context) {
    const { file, slot } = context
    const terminal = terminals(context).of(file)
    if (slot === undefined) {
      const newFd = terminal === undefined ? openOwn(context) : openSide(context, terminal)
      if (newFd === undefined) return { status: 1 }
      setStatusFlags(context.ops, newFd, ttyEntry(file).flags, flagsOf(context))
      return { status: 1, newFd }
    }
    if (terminal !== undefined) {
      const isHungUp = terminal.index !== undefined && terminal.master === undefined
      const node = isHungUp ? hungUp(context, terminal) : settingsOf(context, terminal)
      if (!context.need(node, 'restored')) return { status: 1 }
    }
    return restoreOwner(context, ttyEntry(file).fown)
  },
}

function describe(file: File, situation: Situation): string {
  const index = terminals(situation)
  const terminal = index.of(file)
  if (terminal?.index === undefined) return `terminal ${index.nameOf(file) ?? '/dev/tty'}`
  return `pseudoterminal ${terminal.index}, ${index.isMaster(file) ? 'master' : 'slave'}`
}

/** /dev/tty can be opened only in the session whose terminal it is. */
function mayOpen(file: File, table: DescriptorTable, situation: Situation): boolean {
  const entry = terminals(situation).infoOf(file)?.entry
  if (entry?.type !== TtyType.CTTY) return true
  const mine = controllingTerminals(situation).of(table.owner.sid)
  if (mine === undefined) return false
  // The image has one session for all of them.
  const isAmong = file.fles.some((fle) => fle.table.owner.sid === entry.sid)
  return !isAmong || mine.leader.pid === entry.sid
}

function openOwn(context: OpenContext): Slot | undefined {
  const { ops, task, need } = context
  const terminal = task === undefined ? undefined : controllingTerminals(context).of(task.sid)
  if (terminal !== undefined && !need(terminal.node(context), 'restored')) return undefined
  return ops.open('openat', [AT_FDCWD, { text: nameIn(context) }, flagsOf(context), 0])
}

function openSide(context: OpenContext, terminal: Terminal): Slot | undefined {
  const { ops, file, need, nodeOf, slotOf } = context
  const { index, master } = terminal
  const flags = flagsOf(context)
  if (index !== undefined && terminals(context).isMaster(file)) {
    const newFd = ops.openPtmx(nameIn(context), index, flags)
    ops.call('ioctl', [{ slot: newFd }, ...lock(ops, false)])
    return newFd
  }
  if (index !== undefined) {
    const [other] = master?.files ?? []
    const node = other === undefined ? momentaryMaster(context, terminal) : nodeOf(other)
    if (!need(node, 'open')) return undefined
    // The kernel sets this in every open(2): without it, it was had of its master.
    if (other !== undefined && (flags & O_LARGEFILE) === 0)
      return ops.open('ioctl', [{ slot: slotOf(other, ops) }, TIOCGPTPEER, flags])
  }
  return ops.open('openat', [AT_FDCWD, { text: nameIn(context) }, flags, 0])
}

function flagsOf({ file, cloexec }: OpenContext): number {
  return (ttyEntry(file).flags & ~(onlyAtCreation | O_ASYNC)) | O_NOCTTY | (cloexec ? O_CLOEXEC : 0)
}

function nameIn(context: OpenContext): string {
  const { file, path } = context
  const index = terminals(context)
  const terminal = index.of(file)
  const fallback = terminal === undefined ? '/dev/tty' : index.isMaster(file) ? '/dev/ptmx' : terminal.name
  return path(index.nameOf(file) ?? fallback)
}
