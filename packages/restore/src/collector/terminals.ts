import { wordsOf } from '../images/control-characters.ts'
import type { Tty } from '../images/image-set.ts'
import {
  FdType,
  makeMessage,
  TtyDataEntrySchema,
  TtyInfoEntrySchema,
  TtyType,
  type TtyDataEntry,
} from '../images/messages.ts'
import { binding } from './binding.ts'
import { kernelDevice, majorOf, minorOf } from './device-number.ts'
import { EPERM, textOf } from './errno.ts'
import type { FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import { pathOf, placeOf, titleOf, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'
import type { ProcessStatus } from './process-status.ts'
import type { RegularFiles } from './regular-files.ts'

const TCGETS = 0x5401
const TIOCGLCKTRMIOS = 0x5456
const TIOCGWINSZ = 0x5413
const TIOCGPTN = 0x80045430
const TIOCGPKT = 0x80045438
const TIOCGPTLCK = 0x80045439
const TIOCGEXCL = 0x80045440
const FIONREAD = 0x541b

/** Majors of devices that are terminals. */
const TTY_MAJOR = 4
const TTYAUX_MAJOR = 5
const UNIX98_SLAVES = 136
const lastSlaves = 143
const firstSerial = 64

interface Place {
  readonly type: TtyType
  /** In the image. */
  readonly id: number
  /** Of a pty. */
  readonly index?: number
  readonly isMaster: boolean
  /** Number of the device that a session has as its controlling terminal: the slave's. */
  readonly device: number
}

/** Ids that stand for terminals that are no ptys. */
const consoleId = 2004
const virtualId = 2008
const controllingId = 2012
const serialId = 2020

export function isTerminal(device: bigint): boolean {
  const major = majorOf(device)
  return major === TTY_MAJOR || major === TTYAUX_MAJOR || (major >= UNIX98_SLAVES && major <= lastSlaves)
}

function numberFrom(terminal: number, request: number): number | undefined {
  const value = new Int32Array(1)
  return binding.deviceControl(terminal, request, new Uint8Array(value.buffer)) < 0 ? undefined : value[0]
}

const slaveDevice = (index: number): number => ((UNIX98_SLAVES + (index >>> 8)) << 8) | (index & 0xff)

function placeOfTerminal({ stats, number }: OpenFile): Place | undefined {
  const [major, minor, device] = [majorOf(stats.rdev), minorOf(stats.rdev), Number(stats.rdev)]
  if (major >= UNIX98_SLAVES) {
    const index = minor + ((major - UNIX98_SLAVES) << 8)
    return { type: TtyType.PTY, id: index * 2, index, isMaster: false, device }
  }
  if (major === TTY_MAJOR) {
    const isSerial = minor >= firstSerial
    return {
      type: isSerial ? TtyType.SERIAL : TtyType.VT,
      id: isSerial ? serialId : virtualId,
      isMaster: false,
      device,
    }
  }
  if (minor === 0) return { type: TtyType.CTTY, id: controllingId, isMaster: false, device }
  if (minor === 1) return { type: TtyType.CONSOLE, id: consoleId, isMaster: false, device }
  const index = minor === 2 ? numberFrom(number, TIOCGPTN) : undefined
  if (index === undefined) return undefined
  return { type: TtyType.PTY, id: index * 2 + 1, index, isMaster: true, device: slaveDevice(index) }
}

/** The kernel's struct termios: four words, the line discipline, and 19 control characters. */
function termiosOf(terminal: number, request: number): { entry: object; controls: Uint8Array } | undefined {
  const memory = Buffer.alloc(36)
  if (binding.deviceControl(terminal, request, memory) < 0) return undefined
  const controls = new Uint8Array(32)
  controls.set(memory.subarray(17, 36))
  const entry = {
    cIflag: memory.readUInt32LE(0),
    cOflag: memory.readUInt32LE(4),
    cCflag: memory.readUInt32LE(8),
    cLflag: memory.readUInt32LE(12),
    cLine: memory.readUInt8(16),
    cIspeed: 0,
    cOspeed: 0,
    cCc: wordsOf(controls, [], 'tty-info.img'),
  }
  return { entry, controls }
}

/** Terminals, and what has been typed into them and not been read. */
export class Terminals {
  readonly ttys: Tty[] = []
  readonly data: TtyDataEntry[] = []
  readonly #files: FileList
  readonly #findings: Findings
  readonly #regular: RegularFiles
  readonly #processes: ReadonlyMap<number, ProcessStatus>
  /** Whether the processes stand: what is read out and put back must not meet what they read and type. */
  readonly #stands: boolean
  readonly #seen = new Map<number, { place: Place; file: OpenFile }>()

  constructor(parts: {
    files: FileList
    findings: Findings
    regular: RegularFiles
    processes: ReadonlyMap<number, ProcessStatus>
    stands: boolean
  }) {
    this.#files = parts.files
    this.#findings = parts.findings
    this.#regular = parts.regular
    this.#processes = parts.processes
    this.#stands = parts.stands
  }

  add(file: OpenFile): void {
    const { id, number, info, link, stats, holder } = file
    const place = placeOfTerminal(file)
    if (place === undefined) {
      const message = `${titleOf(file)} is a terminal of a kind that images cannot have (${link})`
      this.#findings.refuse({ reason: 'unsupported-kind', ...placeOf(file), message })
      return
    }
    const regfId = this.#files.newId()
    const { flags, position } = info
    const fown = ownerOf(number)
    this.#regular.add({
      id: regfId,
      link,
      stats,
      at: pathOf(file),
      holder,
      flags,
      position,
      fown,
      place: placeOf(file),
    })
    this.#files.add({ type: FdType.TTY, id, tty: { id, ttyInfoId: place.id, flags, fown, regfId } })
    const other = this.#seen.get(place.id)
    if (other !== undefined) {
      this.#checkSame(file, other.file, place)
      return
    }
    this.#seen.set(place.id, { place, file })
    this.ttys.push(this.#describe(file, place))
  }

  /**
   * Reads what is queued; of a pty of which both ends are in the trees, because what others type must not be touched.
   * `open` gives a descriptor of a file for the length of a call.
   */
  finish(open: (file: OpenFile, use: (number: number) => void) => void): void {
    for (const { place, file } of this.#seen.values()) {
      const isHungUp = this.ttys.some(
        ({ entry, controls }) => entry.id === place.id && controls === undefined,
      )
      if (place.index === undefined || isHungUp) continue
      const isPair = this.#seen.has(place.isMaster ? place.id - 1 : place.id + 1)
      open(file, (number) => {
        if (isPair && this.#stands) this.#readInput(file, place, number)
        else if ((numberFrom(number, FIONREAD) ?? 0) > 0) this.#loseInput(file)
      })
    }
  }

  // Each devpts has a pty 0; images tell them apart by their numbers alone.
  #checkSame(file: OpenFile, other: OpenFile, { isMaster }: Place): void {
    if (isMaster || file.stats.dev === other.stats.dev) return
    const message = `${titleOf(file)} and ${titleOf(other)} are ptys of the same number, of two mounts of devpts`
    this.#findings.refuse({ reason: 'unsupported-kind', ...placeOf(file), message })
  }

  #describe({ number, stats }: OpenFile, { type, id, index, isMaster, device }: Place): Tty {
    const termios = termiosOf(number, TCGETS)
    const locked = termios && termiosOf(number, TIOCGLCKTRMIOS)
    const size = Buffer.alloc(8)
    const hasSize = termios !== undefined && binding.deviceControl(number, TIOCGWINSZ, size) === 0
    const leader = this.#leaderOf(device)
    const entry = makeMessage(TtyInfoEntrySchema, {
      id,
      type,
      locked: isMaster && numberFrom(number, TIOCGPTLCK) === 1,
      exclusive: numberFrom(number, TIOCGEXCL) === 1,
      packetMode: isMaster && numberFrom(number, TIOCGPKT) === 1,
      sid: leader?.session ?? 0,
      pgrp: Math.max(leader?.foreground ?? 0, 0),
      rdev: Number(stats.rdev),
      ...(termios && { termios: termios.entry }),
      ...(locked && { termiosLocked: locked.entry }),
      ...(hasSize && {
        winsize: {
          wsRow: size.readUInt16LE(0),
          wsCol: size.readUInt16LE(2),
          wsXpixel: size.readUInt16LE(4),
          wsYpixel: size.readUInt16LE(6),
        },
      }),
      ...(index !== undefined && { pty: { index } }),
      dev: kernelDevice(stats.dev),
      uid: stats.uid,
      gid: stats.gid,
    })
    return {
      entry,
      ...(termios && { controls: termios.controls }),
      ...(locked && { lockedControls: locked.controls }),
    }
  }

  /** The leader of the session that has it as its controlling terminal, or another member. */
  #leaderOf(device: number): ProcessStatus | undefined {
    let found: ProcessStatus | undefined
    for (const status of this.#processes.values()) {
      if (status.terminal !== device) continue
      if (status.pid === status.session) return status
      found ??= status
    }
    return found
  }

  #readInput(file: OpenFile, { id, isMaster }: Place, number: number): void {
    const data = binding.terminalInput(number, isMaster ? 1 : 0)
    if (typeof data !== 'number') {
      if (data.length > 0) this.data.push(makeMessage(TtyDataEntrySchema, { ttyId: id, data }))
      return
    }
    if ((numberFrom(number, FIONREAD) ?? 0) === 0 && data === EPERM) return
    const needs = data === EPERM ? '; it needs CAP_SYS_ADMIN' : ''
    const message = `what is typed into ${titleOf(file)} cannot be read: ${textOf(data)}${needs}`
    this.#findings.lose({ reason: 'queue', ...placeOf(file), message })
  }

  #loseInput(file: OpenFile): void {
    const why = this.#stands ? 'whose other end is in no process of the tree' : 'and its processes run'
    const message = `something has been typed into ${titleOf(file)}, ${why}`
    this.#findings.lose({ reason: 'queue', ...placeOf(file), message })
  }
}
