import {
  FdType,
  has,
  SkShutdown,
  type InetSkEntry,
  type Payload,
  type TcpStream,
  type TcpStreamEntry,
} from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import { ANY_ERROR, type Slot } from '../../program/op.ts'
import { O_CLOEXEC, O_NONBLOCK } from '../flags.ts'
import type { OpenContext, Situation } from '../kind.ts'
import {
  restoreSocketOptions,
  setOption,
  SO_MARK,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
} from '../socket-options.ts'
import { setStatusFlags } from '../status-flags.ts'
import { AF_INET, destinationOf, socketAddress, sourceOf, type Endpoint } from './address.ts'
import { hasCork, pushUnsent, restoreIpOptions, restoreTcpOptions, SOL_TCP } from './options.ts'
import { IPPROTO_RAW, isConnection, SOCK_RAW, STATE } from './protocol.ts'
import { repairOptions, repairWindow, selectQueue, setRepair, setSequence, type Window } from './repair.ts'
import { packetFamily, packetOf, TH_ACK, TH_FIN, TH_RST } from './segment.ts'
import { bindSocket, bindToDevice, newSocket, shutDown } from './socket.ts'

const SO_ERROR = 4
const SHUT_WR = 1
const EPOLL_CTL_ADD = 1
const EPOLLHUP = 0x10
const EPOLLRDHUP = 0x2000
/** Milliseconds in which a packet arrives that does not leave the machine. */
const ARRIVAL = 5000
/** As large as a buffer can be set. */
const LARGEST_BUFFER = 0x3fffffff
const TCP_MAXSEG = 2
/** What TCP_MAXSEG can be (MAX_TCP_WINDOW, TCP_MIN_MSS). */
const LARGEST_SEGMENT = 32767
const SMALLEST_SEGMENT = 88
/** By this mark the firewall rules know a packet that is of the restore, where CRIU has locked the network. */
const RESTORE_MARK = 0xc114

const entryOf = (file: File): InetSkEntry => file.entry.isk as InetSkEntry

/** Whether this side has sent its end, and whether that came before the end of the other. */
const endsFirst: readonly number[] = [STATE.finWait1, STATE.finWait2, STATE.closing]
const endsSecond: readonly number[] = [STATE.lastAck]
/** Whether the end of the other side has arrived. */
const hasGotEnd: readonly number[] = [STATE.closeWait, STATE.lastAck, STATE.closing]

export function sendsEnd(state: number): boolean {
  return endsFirst.includes(state) || endsSecond.includes(state)
}

/** Whether packets have to be made for it that its peer would have sent. */
export function needsPackets(state: number): boolean {
  return hasGotEnd.includes(state) || state === STATE.finWait2 || state === STATE.close
}

export function streamOf(file: File, { images }: Situation): TcpStream | undefined {
  return images.streams.get(entryOf(file).ino)
}

/** The other end of a connection, where it is in the images. */
export function peerOf(file: File, { once, model }: Situation): File | undefined {
  const connections = once('inet connections', () => {
    const found = new Map<string, File>()
    for (const each of model.files.values()) {
      if (each.type !== FdType.INETSK || !isConnection(entryOf(each))) continue
      found.set(nameOf(sourceOf(entryOf(each)), destinationOf(entryOf(each))), each)
    }
    return found
  })
  const entry = entryOf(file)
  return connections.get(nameOf(destinationOf(entry), sourceOf(entry)))
}

function nameOf(from: Endpoint, to: Endpoint): string {
  return `${from.words.join('.')} ${from.port} ${to.words.join('.')} ${to.port}`
}

/** A connection as both sides know it, without what is in its queues. From now on packets find it. */
export function openConnection(context: OpenContext, file: File, { entry: stream }: TcpStream): Slot {
  const entry = entryOf(file)
  const { ops } = context
  const { state, flags } = entry
  const isOpening = state === STATE.synSent
  const slot = newSocket(context, entry, isOpening || (flags & O_NONBLOCK) !== 0)
  if (entry.opts.soReuseport) setOption(ops, slot, [SOL_SOCKET, SO_REUSEPORT], 1)
  setRepair(ops, slot, 'on')
  bindSocket(ops, slot, entry)
  const { received, sent } = sequencesOf(state, stream)
  setSequence(ops, slot, 'receive', received - stream.inqLen)
  setSequence(ops, slot, 'send', sent - stream.outqLen - (isOpening ? 1 : 0))
  if (isOpening) return slot
  // The largest window that the kernel will ever offer follows from the buffer at this moment.
  setOption(ops, slot, [SOL_SOCKET, SO_RCVBUFFORCE], LARGEST_BUFFER)
  if (stream.outqLen > 0) setOption(ops, slot, [SOL_SOCKET, SO_SNDBUFFORCE], LARGEST_BUFFER)
  // What a segment holds is worked out when the peer is set, and only once, from the largest that it is said to take.
  const largest = Math.max(SMALLEST_SEGMENT, Math.min(stream.mssClamp, LARGEST_SEGMENT))
  setOption(ops, slot, [SOL_TCP, TCP_MAXSEG], largest)
  connectSocket(ops, slot, entry)
  setOption(ops, slot, [SOL_TCP, TCP_MAXSEG], 0)
  repairOptions(ops, slot, stream)
  // TCP_NODELAY sends what waits, so it comes before there is anything.
  restoreTcpOptions(ops, slot, entry, stream)
  return slot
}

/** An end (FIN) has a number of its own, which is counted in the image; the data before it is not. */
function sequencesOf(
  state: number,
  { inqSeq, outqSeq }: TcpStream['entry'],
): { received: number; sent: number } {
  return {
    received: hasGotEnd.includes(state) ? inqSeq - 1 : inqSeq,
    sent: sendsEnd(state) ? outqSeq - 1 : outqSeq,
  }
}

export function connectSocket(ops: TaskOps, slot: Slot, entry: InetSkEntry): void {
  const address = socketAddress(destinationOf(entry))
  ops.call('connect', [{ slot }, { bytes: address }, address.length])
}

/**
 * Its queues, its ends and its options. Its peer is there, when that is in the images, too: an answer to it is received,
 * and is no reset. Nothing of it has to be sent before the commit.
 */
export function fillConnection(context: OpenContext, file: File, slot: Slot, stream: TcpStream): void {
  const { ops } = context
  const entry = entryOf(file)
  const { state, shutdown } = entry
  if (state !== STATE.synSent) new Filling(ops, slot, entry, stream).run()
  restoreIpOptions(ops, slot, entry)
  restoreSocketOptions(ops, slot, entry.opts)
  if (state === STATE.synSent) restoreTcpOptions(ops, slot, entry, stream.entry)
  // The other direction has ended with the state.
  else if ((shutdown & SkShutdown.READ) !== 0) shutDown(ops, slot, SkShutdown.READ)
}

/** Lets a connection go. The end of the repair forgets SO_REUSEADDR. */
export function releaseConnection(
  ops: TaskOps,
  slot: Slot,
  entry: InetSkEntry,
  stream: TcpStreamEntry,
): void {
  const { state, flags, opts } = entry
  setRepair(ops, slot, 'off')
  if (opts.reuseaddr) setOption(ops, slot, [SOL_SOCKET, SO_REUSEADDR], 1)
  if (stream.unsqLen > 0 && !hasCork(entry, stream)) pushUnsent(ops, slot)
  if (state !== STATE.synSent) return
  // Now it asks for its connection again, with the same number. That it is refused at once is for its owner to know.
  const address = socketAddress(destinationOf(entry))
  ops.call('connect', [{ slot }, { bytes: address }, address.length], { tolerate: ANY_ERROR })
  setStatusFlags(ops, slot, flags, flags | O_NONBLOCK)
}

/** The filling of one connection. */
class Filling {
  readonly #ops: TaskOps
  readonly #slot: Slot
  readonly #entry: InetSkEntry
  readonly #stream: TcpStream
  readonly #received: number
  readonly #sent: number

  constructor(ops: TaskOps, slot: Slot, entry: InetSkEntry, stream: TcpStream) {
    this.#ops = ops
    this.#slot = slot
    this.#entry = entry
    this.#stream = stream
    const { received, sent } = sequencesOf(entry.state, stream.entry)
    this.#received = received
    this.#sent = sent
  }

  run(): void {
    const { state } = this.#entry
    this.#fillReceived()
    this.#fillSent()
    if (state === STATE.closeWait || state === STATE.lastAck) {
      // With no window to send into, which a new connection does not have, what follows stays where it is.
      repairWindow(this.#ops, this.#slot, this.#windowForEnd())
      this.#forge(TH_FIN | TH_ACK, this.#received, 0)
      this.#await(EPOLLRDHUP)
    }
    this.#fillUnsent()
    this.#setWindow()
    if (state === STATE.closing) this.#forge(TH_FIN | TH_ACK, this.#received, this.#peerWindow())
    // All that it has sent has been acknowledged, its end too.
    if (state === STATE.finWait2) this.#forge(TH_ACK, this.#received, this.#peerWindow(), this.#sent + 1)
    if (state === STATE.close) this.#reset()
  }

  #fillReceived(): void {
    if (this.#stream.inq.length === 0) return
    selectQueue(this.#ops, this.#slot, 'receive')
    this.#ops.fill(this.#slot, this.#stream.inq)
  }

  /** What is on its way, and, behind it, an end that is. */
  #fillSent(): void {
    const { outqLen, unsqLen } = this.#stream.entry
    if (outqLen === unsqLen) return
    selectQueue(this.#ops, this.#slot, 'send')
    this.#ops.fill(this.#slot, part(this.#stream.outq, 0, outqLen - unsqLen))
  }

  /** What was not sent goes the usual way: in repair mode all that is put in counts as sent. */
  #fillUnsent(): void {
    const { outqLen, unsqLen } = this.#stream.entry
    const ends = sendsEnd(this.#entry.state)
    if (unsqLen === 0) {
      if (!ends) return
      selectQueue(this.#ops, this.#slot, 'send')
      this.#ops.call('shutdown', [{ slot: this.#slot }, SHUT_WR])
      selectQueue(this.#ops, this.#slot, 'none')
      return
    }
    setRepair(this.#ops, this.#slot, 'offSilently')
    this.#ops.fill(this.#slot, part(this.#stream.outq, outqLen - unsqLen, unsqLen))
    if (ends) this.#ops.call('shutdown', [{ slot: this.#slot }, SHUT_WR])
    setRepair(this.#ops, this.#slot, 'on')
  }

  #setWindow(): void {
    const { entry } = this.#stream
    // Older kernels do not tell, and then the peer does.
    if (!has(entry, 'sndWnd')) return
    // One byte of it is for the end that is yet to arrive.
    const coming = this.#entry.state === STATE.closing ? 1 : 0
    const { sndWl1, sndWnd, maxWindow, rcvWnd, rcvWup } = entry
    repairWindow(this.#ops, this.#slot, {
      sndWl1,
      sndWnd,
      maxWindow,
      rcvWnd: rcvWnd + coming,
      rcvWup: rcvWup - coming,
    })
  }

  /** Room for nothing but the end of the other side. */
  #windowForEnd(): Window {
    const maxWindow = has(this.#stream.entry, 'maxWindow') ? this.#stream.entry.maxWindow : 0xffff
    return { sndWl1: this.#received, sndWnd: 0, maxWindow, rcvWnd: 1, rcvWup: this.#received }
  }

  #peerWindow(): number {
    const { sndWnd, sndWscale } = this.#stream.entry
    return sndWnd >>> sndWscale
  }

  /** The peer is gone, and what it had sent can still be read. That there was a reset has been told. */
  #reset(): void {
    this.#forge(TH_RST, this.#received, 0)
    this.#await(EPOLLHUP)
    const place = { scratch: 0 }
    this.#ops.call('getsockopt', [{ slot: this.#slot }, SOL_SOCKET, SO_ERROR, place, this.#ops.store(4)])
  }

  /** A packet from the peer, which does not leave the machine. */
  #forge(flags: number, seq: number, window: number, ack = this.#sent - this.#stream.entry.outqLen): void {
    const from = destinationOf(this.#entry)
    const to = sourceOf(this.#entry)
    const family = packetFamily(to)
    const ops = this.#ops
    const raw = ops.open('socket', [family, SOCK_RAW | O_CLOEXEC, IPPROTO_RAW])
    setOption(ops, raw, [SOL_SOCKET, SO_MARK], RESTORE_MARK)
    if (family !== AF_INET && this.#entry.opts.soBoundDev !== '')
      bindToDevice(ops, raw, this.#entry.opts.soBoundDev)
    const data = packetOf({ from, to, flags, seq, ack, window })
    ops.send(raw, { data, to: rawAddress(to, family) })
    ops.drop(raw)
  }

  /** Until the socket has been told. Packets are delivered by whoever has the time. */
  #await(event: number): void {
    const ops = this.#ops
    const epoll = ops.open('epoll_create1', [O_CLOEXEC])
    const wanted = Buffer.alloc(16)
    wanted.writeUInt32LE(event, 0)
    ops.call('epoll_ctl', [{ slot: epoll }, EPOLL_CTL_ADD, { slot: this.#slot }, { bytes: wanted }])
    ops.call('epoll_pwait', [{ slot: epoll }, { scratch: 0 }, 1, ARRIVAL, 0, 0], { expect: 1 })
    ops.drop(epoll)
  }
}

/** The address alone: a raw socket of IPv6 takes a port for a protocol. */
function rawAddress(to: Endpoint, family: number): Uint8Array {
  const words = family === AF_INET ? to.words.slice(-1) : to.words
  return socketAddress({ family, words, port: 0 })
}

function part(payload: Payload, from: number, length: number): Payload {
  return payload instanceof Uint8Array
    ? payload.subarray(from, from + length)
    : { ...payload, offset: payload.offset + from, length }
}
