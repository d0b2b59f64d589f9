// Opens connections in a process of its own, which has one request answered on each and holds them all.
// Arguments: PORT CONNECTIONS BYTES, the last one of a body. It says { ready }. Told "warm", it has three times as many
// requests answered on a few connections, closes them and says { answered }; told "open", { opened, failed } when so many
// more have had their answers; told "count", { alive }. It ends with its parent.
import { connect } from 'node:net'
import process from 'node:process'

const atOnce = 64
const [port = 0, connections = 0, bytes = 0] = process.argv.slice(2).map(Number)
const request = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
/** @type {Set<import('node:net').Socket>} */
const alive = new Set()

/** A connection on which `requests` are answered one after the other; resolves to how many were. @param {number} requests @returns {Promise<number>} */
const open = (requests) =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let answered = 0
    let answer = ''
    socket.setEncoding('latin1').setTimeout(10_000, () => socket.destroy())
    socket.on('connect', () => {
      alive.add(socket)
      socket.write(request)
    })
    socket.on('data', (text) => {
      answer += text
      const head = answer.indexOf('\r\n\r\n')
      if (head < 0 || answer.length < head + 4 + bytes) return
      const good = answer.startsWith('HTTP/1.1 200 ')
      answer = ''
      if (good) answered += 1
      if (good && answered < requests) {
        socket.write(request)
        return
      }
      socket.setTimeout(0)
      resolve(answered)
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      alive.delete(socket)
      resolve(answered)
    })
  })

const warm = async () => {
  const each = Math.ceil((connections * 3) / atOnce)
  const counts = await Promise.all(Array.from({ length: atOnce }, () => open(each)))
  for (const socket of alive) socket.destroy()
  return { answered: counts.reduce((sum, count) => sum + count, 0) }
}

const openAll = async () => {
  let left = connections
  let opened = 0
  const lane = async () => {
    while (left > 0) {
      left -= 1
      const answered = await open(1)
      opened += answered
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return { opened, failed: connections - opened }
}

process.on('message', (message) => {
  if (message === 'warm') void warm().then((result) => process.send?.(result))
  else if (message === 'open') void openAll().then((result) => process.send?.(result))
  else process.send?.({ alive: alive.size })
})
process.on('disconnect', () => process.exit())
process.send?.({ ready: true })
