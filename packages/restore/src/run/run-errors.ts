import { getSystemErrorMap } from 'node:util'
import { RestoreError, type Problem } from '../errors.ts'
import { CODE, type Op } from '../program/op.ts'
import type { Program } from '../program/program.ts'
import { SYSCALL, syscallName } from '../program/syscall.ts'
import type { Failure, RunState } from './run-state.ts'

const EBADF = 9
const EPERM = 1
const ENOENT = 2
const EAGAIN = 11
const EACCES = 13
const EBUSY = 16
const EEXIST = 17
const EINVAL = 22
const EMFILE = 24
const EPROTO = 71
const ENODATA = 61
const EADDRINUSE = 98
const ETIMEDOUT = -110
const ECANCELED = -125
const EPIPE = -32
const EINTR = -4

const codeOf = (errno: number): string => getSystemErrorMap().get(-errno)?.[0] ?? `E${errno}`

const sentences = new Map([
  [ENOENT, 'bring back what it names, as it was when the image was made'],
  [EAGAIN, 'it is full, and nobody reads while a restore runs: raise its size'],
  [EACCES, 'run this with the rights of the processes that are restored, or as root'],
  [EPERM, 'run this with more rights: as root, or with the capability that its man page names'],
  [EMFILE, 'the hard limit of descriptors (RLIMIT_NOFILE) is too low: raise it'],
  [EADDRINUSE, 'the address is taken: end the process that has it'],
  [ENODATA, 'the file is shorter than the image says: take the one that was saved with it'],
])

/** What to do about the failure of an operation. */
function remedy(op: Op | undefined, { call, errno, detail }: Failure): string {
  if (op?.code === CODE.fork && errno === EEXIST) {
    return `the process id ${detail} is taken: end that process, or let the kernel choose the ids`
  }
  if (op?.code === CODE.fork && errno === EPERM && detail !== 0) {
    return `a process id can be chosen with CAP_CHECKPOINT_RESTORE only: run this as root, or let the kernel choose the ids`
  }
  if (op?.code === CODE.fork && errno === EINVAL && detail !== 0) {
    return `the process id ${detail} is not below /proc/sys/kernel/pid_max: raise that`
  }
  if (op?.code === CODE.fork && errno === EAGAIN) {
    return 'there are too many processes: raise RLIMIT_NPROC, and pids.max of the control group'
  }
  if (op?.code === CODE.fetch && errno === EPERM) {
    return 'a task may not take a descriptor of another: run this as root, and with ptrace_scope of Yama below 2'
  }
  if (op?.code === CODE.openPtmx && errno === EBUSY) {
    return `the pseudoterminal ${detail} is taken: end the processes that have it`
  }
  if (call === SYSCALL.fcntl && errno === EBUSY) {
    return `the descriptor number ${detail} is in use in this task: the plan gives it twice`
  }
  if (call === SYSCALL.fcntl && errno === EMFILE) {
    return `the descriptor number ${detail} is not below the hard limit (RLIMIT_NOFILE): raise it`
  }
  if (errno === EPROTO) return 'the plan uses it before it has waited for it'
  if (errno === EBADF && call === 0)
    return 'its descriptor was never made: an error of the call that makes it was tolerated'
  return sentences.get(errno) ?? getSystemErrorMap().get(-errno)?.[1] ?? 'the kernel refused it'
}

const CALLS = new Map<number, number>([
  [CODE.move, SYSCALL.fcntl],
  [CODE.copy, SYSCALL.fcntl],
])

function ofOperation(program: Program, failure: Failure): RestoreError {
  const op = program.ops[failure.op]
  const unit = (op && program.units[op.unit]) ?? `operation ${failure.op}`
  const number = failure.call || (op?.call ?? CALLS.get(op?.code ?? -1) ?? 0)
  const syscall = number === 0 && op?.code !== CODE.syscall ? undefined : syscallName(number)
  const pid = program.tasks[failure.task]?.pid ?? 0
  const what =
    failure.kind === 'unexpected'
      ? `gave ${failure.detail}, and not what was expected: the kernel or the files differ from those of the image`
      : `${codeOf(failure.errno)}, ${remedy(op, failure)}`
  const message = [unit, ...(syscall === undefined ? [] : [syscall]), what].join(': ')
  const problem: Problem = {
    reason: 'op-failed',
    message,
    ...(pid === 0 ? {} : { pid }),
    ...(op === undefined ? {} : { node: op.unit }),
  }
  return new RestoreError([problem], {
    ...(failure.kind === 'unexpected' ? {} : { errno: -failure.errno }),
    ...(syscall === undefined ? {} : { syscall }),
  })
}

/** How a process ended, as the helper tells it: a signal, or 256 and its status. */
const end = (detail: number): string =>
  detail >= 256 ? `exited with ${detail - 256}` : `was killed by signal ${detail}`

function ofDeath(program: Program, { task, detail }: Failure): RestoreError {
  const pid = program.tasks[task]?.pid ?? 0
  const who = pid === 0 ? 'the first task' : `the task of process ${pid}`
  const message = `${who} ${end(detail)} while it was restored: see who did that, and try again`
  return new RestoreError([{ reason: 'task-died', message, ...(pid === 0 ? {} : { pid }) }], { errno: EINTR })
}

function ofKind(program: Program, failure: Failure): RestoreError {
  const { op, call, errno, detail } = failure
  switch (failure.kind) {
    case 'call':
    case 'unexpected':
      return ofOperation(program, failure)
    case 'died':
      return ofDeath(program, failure)
    case 'deadline':
      return new RestoreError(
        [
          {
            reason: 'deadline',
            message: 'the restore took longer than its deadline: see what it waits for, or give it more',
          },
        ],
        { errno: ETIMEDOUT },
      )
    case 'rollback':
      return new RestoreError([{ reason: 'rolled-back', message: 'the restore was rolled back' }], {
        errno: ECANCELED,
      })
    case 'program':
      return new RestoreError([
        {
          reason: 'bad-program',
          message: `the helper refused the program: damage ${detail}, operation ${op}`,
        },
      ])
    case 'helper':
      return new RestoreError(
        [
          {
            reason: 'helper-failed',
            message: `the helper: ${syscallName(call)}: ${codeOf(errno)}, ${remedy(undefined, failure)}`,
          },
        ],
        { errno: -errno, syscall: syscallName(call) },
      )
    case 'caller-gone':
    case 'none':
      return new RestoreError(
        [
          {
            reason: 'helper-died',
            message: 'the helper died while it restored: see who killed it, and try again',
          },
        ],
        { errno: EPIPE },
      )
  }
}

/** The error of a run that has been rolled back, with what could not be taken away. */
export function runError(program: Program, state: RunState): RestoreError {
  const error = ofKind(program, state.failure)
  const { entries, errno } = state.stuck
  if (entries.length === 0) return error
  const left = entries.map((index): Problem => {
    const entry = program.undo[index]
    const name = entry === undefined ? '' : stringAt(program.blobs, entry.a)
    return {
      reason: 'undo-failed',
      message: `${name}: ${codeOf(errno)}, it was made by the restore and is left: remove it`,
    }
  })
  return new RestoreError([...error.problems, ...left], {
    errno: error.errno,
    ...(error.syscall === undefined ? {} : { syscall: error.syscall }),
  })
}

function stringAt(blobs: Uint8Array, at: number): string {
  const nul = blobs.indexOf(0, at)
  return Buffer.from(blobs.subarray(at, nul < 0 ? blobs.length : nul)).toString()
}
