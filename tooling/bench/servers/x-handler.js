// The handler that the benchmark mounts in x-server, once for each body.
import { bodies } from './bodies.js'

const headers = { 'content-type': 'text/plain' }

/** @param {unknown} _request @param {{ mountPath: string }} ctx */
export function handle(_request, { mountPath }) {
  return { headers, body: bodies.get(mountPath) }
}
