import { lstatSync, statSync } from 'node:fs'
import type { Problem } from '../../errors.ts'
import { TtyType } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import { controllingTerminals } from '../../plan/controlling-terminal.ts'
import { hasCapability } from '../../plan/machine.ts'
import type { Situation } from '../kind.ts'
import { placeOf } from '../named.ts'
import { dataOf } from './settings.ts'
import { slavePath, terminals, type Terminal } from './terminal.ts'

const CAP_SYS_ADMIN = 21n

/** Whether a terminal can be there again. */
export function* checkTerminal(file: File, situation: Situation): Iterable<Problem> {
  const wrong = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file: file.id,
    ...placeOf(file),
  })
  const index = terminals(situation)
  const info = index.infoOf(file)?.entry
  const terminal = index.of(file)
  if (info === undefined)
    yield wrong(
      'no-terminal',
      `file ${file.id} is a terminal of which tty-info.img says nothing: the images are damaged`,
    )
  else if (info.type === TtyType.CTTY) {
    if (!file.fles.some(({ table }) => controllingTerminals(situation).of(table.owner.sid) !== undefined))
      yield wrong(
        'no-terminal',
        `file ${file.id} is /dev/tty, and no process that has it has a controlling terminal in the images`,
      )
  } else if (terminal?.index === undefined) yield* checkNamed(file, situation, wrong)
  else {
    if (index.isMaster(file) && terminal.master?.files[0] !== file)
      yield wrong(
        'duplicate-terminal',
        `pseudoterminal ${terminal.index} has two masters: the images are damaged`,
      )
    // Of all its files, the first one says it.
    if ((terminal.master ?? terminal.slave).files[0] === file)
      for (const [reason, message] of checkPseudoterminal(terminal, situation)) yield wrong(reason, message)
  }
}

type Wrong = (reason: string, message: string) => Problem

function* checkPseudoterminal(
  terminal: Terminal,
  situation: Situation,
): Iterable<readonly [reason: string, message: string]> {
  const { index = 0, master, slave } = terminal
  const name = slavePath(terminal, situation)
  if (lstatSync(name, { throwIfNoEntry: false }) !== undefined)
    yield [
      'tty-index-taken',
      `pseudoterminal ${index} is in use here (${name}): end the processes that have it, or restore where /dev/pts is another one`,
    ]
  const hasData = [master?.tty, slave.tty].some((tty) => dataOf(tty, situation).length > 0)
  if (hasData && !hasCapability(CAP_SYS_ADMIN))
    yield [
      'no-privilege',
      `what was queued in pseudoterminal ${index} is put back with CAP_SYS_ADMIN only: run with it`,
    ]
  if (master === undefined && slave.tty?.entry.termios !== undefined)
    situation.warn({
      reason: 'terminal-lost',
      message: `the other side of pseudoterminal ${index} is not in the images: it will be hung up`,
      ...(slave.files[0] === undefined ? {} : { file: slave.files[0].id, ...placeOf(slave.files[0]) }),
    })
}

function* checkNamed(file: File, situation: Situation, wrong: Wrong): Iterable<Problem> {
  const index = terminals(situation)
  const name = index.nameOf(file)
  const rdev = index.infoOf(file)?.entry.rdev ?? 0
  if (name === undefined) {
    yield wrong('no-file', `terminal ${file.id} has no name: the images are damaged`)
    return
  }
  const found = statSync(situation.path(name), { throwIfNoEntry: false })
  if (found?.isCharacterDevice() !== true)
    yield wrong(
      'file-missing',
      `${situation.path(name)} is no terminal here: restore where it is one, or map its path`,
    )
  else if (rdev !== 0 && rdev !== found.rdev)
    yield wrong('file-changed', `${situation.path(name)} is another device than it was`)
}
