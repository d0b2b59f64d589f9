import { isUtf8 } from 'node:buffer'
import { basename, dirname } from 'node:path'
import type { UnixSkEntry } from '../../images/index.ts'

const AF_UNIX = 1
/** Bytes of sun_path (unix(7)). */
export const LONGEST_NAME = 108

/** A name of a socket: a path, or one in the abstract name space. */
export interface UnixAddress {
  /** The struct sockaddr_un that bind(2) is given. */
  readonly bytes: Uint8Array
  /** For people, with @ for each NUL of an abstract name. */
  readonly text: string
  /** Where a path is now, whatever it begins with; undefined for an abstract name. */
  readonly path: string | undefined
  /** What a relative path is relative to, now. */
  readonly folder: string | undefined
}

/** The name of a socket, where that is now; undefined when it has none, or one that no socket can have. */
export function addressOf(entry: UnixSkEntry, map: (path: string) => string): UnixAddress | undefined {
  const { name, nameDir } = entry
  if (name.length === 0 || faultOf(entry) !== undefined) return undefined
  if (name[0] === 0) {
    const text = Buffer.from(name).toString('latin1').replaceAll('\0', '@')
    return { bytes: sockaddr(name), text, path: undefined, folder: undefined }
  }
  const text = pathIn(name)
  if (text.startsWith('/')) {
    const path = map(text)
    return { bytes: sockaddrOf(path), text: path, path, folder: undefined }
  }
  const folder = map(nameDir)
  return { bytes: sockaddrOf(text), text, path: `${folder === '/' ? '' : folder}/${text}`, folder }
}

/** What is wrong with the name of a socket, for people. */
export function faultOf({ name, nameDir }: UnixSkEntry): string | undefined {
  if (name.length > LONGEST_NAME + 1) return `is ${name.length} bytes long, and Linux takes ${LONGEST_NAME}`
  if (name.length === 0 || name[0] === 0) return undefined
  if (!isUtf8(name)) return 'is a path that is no UTF-8'
  const path = pathIn(name)
  if (!path.startsWith('/') && !nameDir.startsWith('/'))
    return `is the relative path ${path}, and the image does not say what it is relative to`
  return undefined
}

/** A path ends at its first NUL, as the kernel counts it; the image has that NUL. */
function pathIn(name: Uint8Array): string {
  const end = name.indexOf(0)
  return Buffer.from(end === -1 ? name : name.subarray(0, end)).toString('utf8')
}

/** The struct sockaddr_un of a path. */
export function sockaddrOf(path: string): Uint8Array {
  const bytes = Buffer.from(path)
  // One that fills sun_path has no NUL behind it.
  return sockaddr(bytes.length < LONGEST_NAME ? Buffer.concat([bytes, Buffer.alloc(1)]) : bytes)
}

export function sockaddr(name: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(2 + name.length)
  bytes.writeUInt16LE(AF_UNIX)
  bytes.set(name, 2)
  return bytes
}

/** How to name a path that may be longer than a sockaddr_un: from a folder to go to first, or at once. */
export function reach(path: string): { readonly folder: string | undefined; readonly bytes: Uint8Array } {
  if (Buffer.byteLength(path) <= LONGEST_NAME) return { folder: undefined, bytes: sockaddrOf(path) }
  return { folder: dirname(path), bytes: sockaddrOf(basename(path)) }
}
