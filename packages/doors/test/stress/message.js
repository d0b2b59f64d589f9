/**
 * Requests and replies of the stress. All of a reply follows from its request, so that a caller knows it before, and no
 * other request has it: it has the nonce and the checksum of what the procedure has read, descriptors included.
 */
import { fstatSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { memfd } from '@x/fdpass'
import { randomFrom } from './random.js'

/** Of a request, if it is as long, and of each reply. */
export const HEADER = 32
/** A prime below the length of a packet: a piece that comes twice, late, or not at all is seen. */
const PERIOD = 65_521
const period = Buffer.alloc(2 * PERIOD)
const random = randomFrom(20_261_126)
for (let at = 0; at < PERIOD; at++) period[at] = random(256)
period.copyWithin(PERIOD, 0, PERIOD)

const turned = (by) => period.subarray(by % PERIOD, (by % PERIOD) + PERIOD)

const isBody = (bytes, key) => {
  const expected = turned(key)
  for (let at = 0; at < bytes.length; at += PERIOD) {
    const part = bytes.subarray(at, at + PERIOD)
    if (!part.equals(expected.subarray(0, part.length))) return false
  }
  return true
}

const bodyKey = (client, count) => (Math.imul(client, 31) + Math.imul(count, 7919)) >>> 0

/** What is asked for: nonce `[client, count]`, mode, and what the reply is to have. */
export function encodeRequest(size, { client, count, mode, milliseconds, replyLength, replyFds, passed }) {
  const bytes = Buffer.allocUnsafeSlow(size).fill(turned(bodyKey(client, count)))
  if (size < HEADER) return bytes
  for (const [at, word] of [client, count, mode, milliseconds, replyLength, replyFds, passed].entries())
    bytes.writeUInt32LE(word, 4 * at)
  return bytes
}

const plain = { client: 0, count: 0, mode: 0, milliseconds: 0, replyLength: 0, replyFds: 0, passed: 0 }

export function decodeRequest(bytes) {
  if (bytes === null || bytes.length < HEADER) return plain
  const words = Array.from({ length: 7 }, (_, at) => bytes.readUInt32LE(4 * at))
  const [client, count, mode, milliseconds, replyLength, replyFds, passed] = words
  return { client, count, mode, milliseconds, replyLength, replyFds, passed }
}

const MARK = 16

/** A file that tells which call it belongs to, and which of its descriptors it is. */
export function fileOf({ client, count }, index, isReply) {
  const mark = Buffer.alloc(MARK)
  for (const [at, word] of [client, count, index, isReply ? 1 : 0].entries()) mark.writeUInt32LE(word, 4 * at)
  return memfd('stress', mark)
}

const contentOf = (fd) => {
  const mark = Buffer.alloc(MARK)
  return readSync(fd, mark, 0, MARK, 0) === MARK ? mark : Buffer.alloc(0)
}

const inodeOf = (fd) => Buffer.from(new BigInt64Array([fstatSync(fd, { bigint: true }).ino]).buffer)

/** Of what the files say and which they are, in their order. */
export const checksumOf = (fds) =>
  fds.reduce((sum, { fd }) => crc32(inodeOf(fd), crc32(contentOf(fd), sum)), 0)

/** The reply of a procedure that has `bytes` and `fds`. */
export function encodeReply(request, bytes, fds, pid) {
  const reply = Buffer.allocUnsafeSlow(HEADER + request.replyLength)
  const data = bytes ?? Buffer.alloc(0)
  const words = [request.client, request.count, crc32(data), data.length, checksumOf(fds), fds.length, pid]
  for (const [at, word] of [...words, request.replyLength].entries()) reply.writeUInt32LE(word, 4 * at)
  reply.subarray(HEADER).fill(turned(bodyKey(request.count, request.client)))
  return reply
}

/** Undefined, or what is wrong with a reply. */
export function faultOf(reply, request, { sum, length, fdSum, fdCount }) {
  if (reply.length !== HEADER + request.replyLength) return `it has ${reply.length} bytes`
  const words = [request.client, request.count, sum, length, fdSum, fdCount, process.pid, request.replyLength]
  const names = [
    'client',
    'count',
    'checksum',
    'length',
    'checksum of files',
    'files',
    'caller',
    'reply length',
  ]
  for (const [at, word] of words.entries()) {
    const found = reply.readUInt32LE(4 * at)
    if (found !== word) return `its ${names[at]} is ${found}, and should be ${word}`
  }
  return isBody(reply.subarray(HEADER), bodyKey(request.count, request.client))
    ? undefined
    : 'its body is wrong'
}

/** Undefined, or what is wrong with the descriptors of a reply: those that are passed on come first. */
export function faultOfFiles(fds, request, sent) {
  if (fds.length !== request.passed + request.replyFds) return `it has ${fds.length} descriptors`
  for (const [at, { fd }] of fds.entries()) {
    const passedOn = at < request.passed
    if (passedOn && fstatSync(fd, { bigint: true }).ino !== sent[at])
      return `descriptor ${at} is not the one that was sent`
    const mark = contentOf(fd)
    const words = [request.client, request.count, passedOn ? at : at - request.passed, passedOn ? 0 : 1]
    for (const [word, value] of words.entries()) {
      if (mark.length !== MARK || mark.readUInt32LE(4 * word) !== value)
        return `descriptor ${at} is of ${mark.toString('hex')}`
    }
  }
  return undefined
}
