import { get } from 'node:http'
import { bodies } from './servers/bodies.js'

/** @typedef {{ status: number | undefined, head: string, body: Buffer }} Answer */

/**
 * Asks once, on a connection of its own.
 * @param {string} url
 * @param {Record<string, string>} [headers]
 * @returns {Promise<Answer>}
 */
export const ask = (url, headers = {}) =>
  new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 2000, headers }, (response) => {
      /** @type {Buffer[]} */
      const pieces = []
      response.on('data', (piece) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const pairs = response.rawHeaders.map((part, index) => (index % 2 === 0 ? `${part}: ` : `${part}\n`))
        resolve({ status: response.statusCode, head: pairs.join(''), body: Buffer.concat(pieces) })
      })
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 2 s')))
    request.on('error', reject)
  })

/** The size of the body that every server has at a path. @param {string} path */
export const bodySize = (path) => bodies.get(path)?.length ?? 0

/**
 * Asks a server once and throws unless it gives the answer that all have to give.
 * @param {import('./instance.js').Instance} instance
 * @param {string} path
 * @param {Record<string, string>} [headers]
 * @returns {Promise<Answer>}
 */
export const verify = async ({ server, url }, path, headers) => {
  const answer = await ask(url + path, headers)
  const length = /^content-length: (\d+)$/im.exec(answer.head)?.[1]
  const expected = Buffer.from(bodies.get(path) ?? '')
  if (answer.status === 200 && Number(length) === expected.length && answer.body.equals(expected))
    return answer
  throw new Error(
    `${server.name} answered ${path} with ${answer.status} and a body of ${answer.body.length} bytes; expected 200 and ${expected.length}\n${answer.head}`,
  )
}
