/** Makes one call, and judges how it ends. */
import { fstatSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { release } from '@x/doors'
import { checksumOf, encodeRequest, faultOf, faultOfFiles, fileOf, HEADER } from './message.js'
import { Mode } from './doors.js'

/** How long a call may take, in milliseconds. */
const LONGEST = 12_000

export class Calls {
  #counts
  #fail
  #suspect

  /** `fail(text)` is told what is wrong, `suspect(error)` what is wrong unless the server has ended, or a thread of it. */
  constructor(counts, fail, suspect) {
    this.#counts = counts
    this.#fail = fail
    this.#suspect = suspect
  }

  async call(client, choice) {
    const controller = new AbortController()
    const { abortAfter, timeout } = choice
    const timer = abortAfter === undefined ? undefined : setTimeout(() => controller.abort(), abortAfter)
    const bound = setTimeout(() => this.#wrong(choice, 'it has not ended', '83'), LONGEST)
    await this.#withFiles(choice, client, async (bytes, sent, expected) => {
      const response = await client.call(bytes, { ...sent, timeout, signal: timer && controller.signal })
      this.#judge(choice, response, expected)
    })
    clearTimeout(timer)
    clearTimeout(bound)
  }

  async callSync(client, choice) {
    const timeout = choice.timeout ?? choice.abortAfter
    await this.#withFiles(choice, client, (bytes, sent, expected) => {
      this.#judge(choice, client.callSync(bytes, { ...sent, timeout }), expected)
    })
  }

  /** `room` is how many bytes there are for the reply; undefined for those of the request. */
  async callInto(client, given, room) {
    const request = { ...given.request, passed: 0 }
    const choice = { ...given, request, sentFds: 0 }
    await this.#withFiles(choice, client, (bytes, _, expected) => {
      const out = room === undefined ? bytes : Buffer.allocUnsafeSlow(room)
      const timeout = choice.timeout ?? choice.abortAfter
      const data = client.callInto(bytes, out, timeout === undefined ? undefined : { timeout })
      const isThere = data.buffer === out.buffer && data.byteOffset === out.byteOffset
      if (isThere !== data.length <= out.length && data.length > 0)
        this.#wrong(
          choice,
          `callInto has put ${data.length} bytes ${isThere ? 'in' : 'beside'} ${out.length}`,
        )
      const reply = Buffer.from(data.buffer, data.byteOffset, data.length)
      this.#answered(choice, faultOf(reply, request, expected))
    })
  }

  async #withFiles(choice, client, make) {
    const { nonce, sentFds, releases, size, request } = choice
    const files = Array.from({ length: sentFds }, (_, at) => fileOf(nonce, at, false))
    const bytes = encodeRequest(size, request)
    const sent = files.map(({ fd }) => fstatSync(fd, { bigint: true }).ino)
    const expected = { sum: crc32(bytes), length: size, fdSum: checksumOf(files), fdCount: sentFds, sent }
    // Until it is known what has become of the call.
    const { target, cookie } = client.info()
    const begun = Date.now()
    try {
      await make(bytes, { fds: files.map((file) => (releases ? release(file) : file)) }, expected)
      if (files.some(({ fd }) => fd >= 0 === releases))
        this.#wrong(choice, 'released descriptors are open, or others closed')
    } catch (error) {
      this.#failed(choice, error, { server: target, onThreads: cookie === 1n, begun })
      if (this.#isRefusal(choice, error) && files.some(({ fd }) => fd < 0))
        this.#wrong(choice, 'a refused call has closed its descriptors')
    } finally {
      for (const file of files) file.close()
    }
  }

  #judge(choice, response, expected) {
    const fault = faultOf(response.data, choice.request, expected)
    this.#answered(choice, fault ?? faultOfFiles(response.fds, choice.request, expected.sent))
    this.#counts.files += response.fds.length
    response.close()
  }

  #answered(choice, fault) {
    this.#counts.answers++
    this.#counts.bytes += choice.size + choice.request.replyLength
    this.#counts.sentFiles += choice.sentFds
    if (choice.request.mode === Mode.fail) this.#wrong(choice, 'a procedure that throws has answered')
    if (fault !== undefined) this.#wrong(choice, `the reply is wrong: ${fault}`)
  }

  #isRefusal({ size, sentFds, door }, { code }) {
    if (code === 'ENOBUFS') return size > (door.dataMax ?? Infinity)
    return code === 'ENOTSUP' && sentFds > 0 && door.refusesDescriptors === true
  }

  #failed(choice, error, about) {
    const { code } = error
    const { door, request, nonce } = choice
    this.#counts.errors[code] = (this.#counts.errors[code] ?? 0) + 1
    const givenUp = choice.timeout !== undefined || choice.abortAfter !== undefined || choice.closed === true
    if (code === 'EREMOTEIO' && request.mode === Mode.fail) {
      if (!error.message.endsWith(`: ${nonce.client} ${nonce.count})`))
        this.#wrong(choice, `another call’s error: ${error.message}`)
    } else if (this.#isRefusal(choice, error)) {
      this.#counts.refusals++
    } else if (givenUp && (code === 'EINTR' || code === 'EAGAIN')) {
      this.#counts.givenUp++
    } else if (choice.closed === true && code === 'EBADF') {
      this.#counts.givenUp++
    } else if (code === 'EINTR' || code === 'EBADF') {
      this.#suspect({
        ...about,
        ended: Date.now(),
        code,
        door: door.name,
        mode: request.mode,
        message: error.message,
      })
    } else this.#wrong(choice, error.stack)
  }

  #wrong(choice, text, number = '39') {
    const { door, size, way, request, sentFds, timeout, abortAfter } = choice
    this.#fail(
      `${number}: ${text} (${JSON.stringify({ door: door.name, way, size, sentFds, timeout, abortAfter, ...request })})`,
    )
  }
}

/** Room for a reply: enough, too little, or the request’s own. */
export function chooseRoom(random, { request }) {
  const room = HEADER + request.replyLength
  return [undefined, room, room + random(4096), random(room)][random(4)]
}
