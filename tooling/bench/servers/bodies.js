// The bodies that every server answers with, by the path that asks for them. As bytes, which no server has to encode;
// the greeting as a string, which is how a handler in JavaScript has one.

/** The greeting again, for who closes the connection: uWebSockets.js has to be told by the handler to announce that. */
export const lastPath = '/last'

const greeting = 'Hello, World!'

/** @param {number} size */
const filled = (size) => Buffer.alloc(size, 'x')

/** @type {ReadonlyMap<string, string | Buffer>} */
export const bodies = new Map(
  Object.entries({ '/': greeting, [lastPath]: greeting, '/1024': filled(1024), '/65536': filled(65_536) }),
)
