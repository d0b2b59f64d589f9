import { arch } from 'node:os'
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  CoreEntry_March,
  CoreEntrySchema,
  makeMessage,
  MmEntrySchema,
  PstreeEntrySchema,
  type CoreEntry,
  type CredsEntrySchema,
  type MmEntry,
  type PstreeEntry,
  type TaskKobjIdsEntry,
} from '../images/messages.ts'
import { isDead, readProc, threadsOf, type ProcessStatus } from './process-status.ts'

type Credentials = MessageInitShape<typeof CredsEntrySchema>

/** `taskState` of TaskCoreEntry. */
const alive = 1
const dead = 2
const stopped = 3
const machines: Readonly<Record<string, CoreEntry_March>> = {
  x64: CoreEntry_March.X86_64,
  arm64: CoreEntry_March.AARCH64,
  arm: CoreEntry_March.ARM,
  ppc64: CoreEntry_March.PPC64,
  s390x: CoreEntry_March.S390,
  riscv64: CoreEntry_March.RISCV64,
}

/** The lines of /proc/PID/status by name. */
export function statusLines(pid: number): ReadonlyMap<string, string> {
  const text = readProc(`/proc/${pid}/status`) ?? ''
  return new Map(
    text.split('\n').map((line) => [line.split(':', 1)[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
  )
}

const numbersOf = (text: string | undefined): number[] =>
  (text ?? '').split(/\s+/).filter(Boolean).map(Number)

/** A capability set: the lower 32 bits first. */
function wordsOf(hex: string | undefined): number[] {
  const bits = BigInt(`0x${hex ?? '0'}`)
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)]
}

function credentialsOf(lines: ReadonlyMap<string, string>): Credentials {
  const [uid = 0, euid = 0, suid = 0, fsuid = 0] = numbersOf(lines.get('Uid'))
  const [gid = 0, egid = 0, sgid = 0, fsgid = 0] = numbersOf(lines.get('Gid'))
  const noNewPrivs = Number(lines.get('NoNewPrivs') ?? '0')
  return {
    uid,
    gid,
    euid,
    egid,
    suid,
    sgid,
    fsuid,
    fsgid,
    capInh: wordsOf(lines.get('CapInh')),
    capPrm: wordsOf(lines.get('CapPrm')),
    capEff: wordsOf(lines.get('CapEff')),
    capBnd: wordsOf(lines.get('CapBnd')),
    capAmb: wordsOf(lines.get('CapAmb')),
    secbits: 0, // only the process itself can ask (PR_GET_SECUREBITS)
    groups: numbersOf(lines.get('Groups')),
    ...(noNewPrivs !== 0 && { noNewPrivs }),
  }
}

const unlimited = 2n ** 64n - 1n

/** In the order of their numbers, which is that of /proc/PID/limits. */
function limitsOf(pid: number): { cur: bigint; max: bigint }[] {
  const text = readProc(`/proc/${pid}/limits`) ?? ''
  const valueOf = (word: string | undefined): bigint =>
    word === undefined || word === 'unlimited' ? unlimited : BigInt(word)
  return text
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map((line) => {
      const [cur, max] = line.slice(26).trim().split(/\s+/)
      return { cur: valueOf(cur), max: valueOf(max) }
    })
}

export function pstreeOf(status: ProcessStatus, parent: number): PstreeEntry {
  const { pid, group, session } = status
  const threads = isDead(status) ? [pid] : threadsOf(pid)
  return makeMessage(PstreeEntrySchema, { pid, ppid: parent, pgid: group, sid: session, threads })
}

/** `wasStopped`: it stood before it was collected. */
export function coreOf(
  status: ProcessStatus,
  ids: TaskKobjIdsEntry | undefined,
  wasStopped: boolean,
): CoreEntry {
  const { pid, name, flags } = status
  const isOver = isDead(status)
  const lines = statusLines(pid)
  const tc = {
    taskState: isOver ? dead : wasStopped ? stopped : alive,
    exitCode: isOver ? Number(status.fields[49] ?? '0') : 0,
    personality: Number.parseInt(readProc(`/proc/${pid}/personality`)?.trim() ?? '0', 16) || 0,
    flags,
    blkSigset: BigInt(`0x${lines.get('SigBlk') ?? '0'}`),
    comm: name,
    ...(!isOver && { rlimits: { rlimits: limitsOf(pid) } }),
    ...numberAt('loginuid', pid),
    ...numberAt('oom_score_adj', pid),
  }
  return makeMessage(CoreEntrySchema, {
    mtype: machines[arch()] ?? CoreEntry_March.UNKNOWN,
    tc,
    ...(ids && { ids }),
    ...(!isOver && { threadCore: { futexRla: 0n, futexRlaLen: 0, creds: credentialsOf(lines) } }),
  })
}

function numberAt(file: 'loginuid' | 'oom_score_adj', pid: number): object {
  const text = readProc(`/proc/${pid}/${file}`)
  if (text === undefined) return {}
  return file === 'loginuid' ? { loginuid: Number(text) } : { oomScoreAdj: Number(text) }
}

/** Addresses as /proc/PID/stat has them; nothing of them is needed for descriptors but the program. */
export function memoryOf({ fields }: ProcessStatus, exeFileId: number): MmEntry {
  // Numbers of proc_pid_stat(5), of which the first two are not in `fields`.
  const at = (number: number): bigint => BigInt(fields[number - 3] ?? '0')
  return makeMessage(MmEntrySchema, {
    mmStartCode: at(26),
    mmEndCode: at(27),
    mmStartData: at(45),
    mmEndData: at(46),
    mmStartStack: at(28),
    mmStartBrk: at(47),
    mmBrk: at(47),
    mmArgStart: at(48),
    mmArgEnd: at(49),
    mmEnvStart: at(50),
    mmEnvEnd: at(51),
    exeFileId,
  })
}
