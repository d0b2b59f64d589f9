import type { TermiosEntry } from '../../images/index.ts'
import type { Value } from '../../plan/task-ops.ts'

const TCSETS = 0x5402
const TCSETS2 = 0x402c542b
const TIOCSLCKTRMIOS = 0x5457
const CBAUD = 0x100f
const BOTHER = 0x1000
const ICANON = 0x2
const IEXTEN = 0x8000
const EXTPROC = 0x10000
const VMIN = 6
const VEOL = 11
const VEOL2 = 16
const CONTROLS = 19
const SIZE = 17 + CONTROLS
const SIZE2 = SIZE + 8

/** A request of ioctl(2) and its argument. */
export type Request = readonly [request: number, argument: Value]

/** Sets all that a terminal does (termios(3)). A speed that has no code of its own is told as a number. */
export function setTermios(entry: TermiosEntry, controls: Uint8Array): Request {
  const hasSpeed = (entry.cCflag & CBAUD) === BOTHER && entry.cOspeed !== 0
  if (!hasSpeed) return [TCSETS, { bytes: structTermios(entry, controls) }]
  const bytes = Buffer.concat([structTermios(entry, controls), Buffer.alloc(SIZE2 - SIZE)])
  bytes.writeUInt32LE(entry.cIspeed, SIZE)
  bytes.writeUInt32LE(entry.cOspeed, SIZE + 4)
  return [TCSETS2, { bytes }]
}

/** Says which of it must not be changed. */
export function lockTermios(entry: TermiosEntry, controls: Uint8Array): Request | undefined {
  const bytes = structTermios(entry, controls)
  return bytes.every((byte) => byte === 0) ? undefined : [TIOCSLCKTRMIOS, { bytes }]
}

/**
 * Has bytes taken as they are, into the queue from which they were: nothing is echoed, changed or made a signal. Lines
 * end where they did, so that they are read one by one again.
 */
export function takeAsIs(entry: TermiosEntry, controls: Uint8Array): Request {
  const { cLflag } = entry
  const quiet = new Uint8Array(CONTROLS)
  quiet[VMIN] = 1
  if ((cLflag & ICANON) !== 0) {
    quiet[VMIN] = 0
    quiet[VEOL] = controls[VEOL] ?? 0
    quiet[VEOL2] = controls[VEOL2] ?? 0
  }
  const kept = cLflag & (ICANON | IEXTEN | EXTPROC)
  return [TCSETS, { bytes: structTermios({ ...entry, cIflag: 0, cOflag: 0, cLflag: kept }, quiet) }]
}

type Flags = Pick<TermiosEntry, 'cIflag' | 'cOflag' | 'cCflag' | 'cLflag' | 'cLine'>

/** The kernel's struct termios, which is not the library's. */
function structTermios({ cIflag, cOflag, cCflag, cLflag, cLine }: Flags, controls: Uint8Array): Buffer {
  const bytes = Buffer.alloc(SIZE)
  for (const [place, flags] of [cIflag, cOflag, cCflag, cLflag].entries())
    bytes.writeUInt32LE(flags >>> 0, place * 4)
  bytes[16] = cLine
  bytes.set(controls.subarray(0, CONTROLS), SIZE - CONTROLS)
  return bytes
}
