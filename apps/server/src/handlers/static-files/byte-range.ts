/** Bytes `offset` to `offset + length - 1`. */
export interface ByteRange {
  offset: number
  length: number
}

/**
 * Reads a Range field for a representation of `size` bytes (RFC 9110, section 14.1.2).
 * Undefined when the field is to be ignored: absent, malformed, of another unit, or more than one range, which
 * a server may answer with the whole.
 */
export function parseByteRange(
  field: string | undefined,
  size: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=[\t ]*(\d*)-(\d*)[\t ]*$/iu.exec(field ?? '')
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return undefined
  if (first === '') return suffix(Number(last), size)
  const offset = Number(first)
  const end = last === '' ? Infinity : Number(last)
  if (end < offset) return undefined
  if (offset >= size) return 'unsatisfiable'
  return { offset, length: Math.min(end, size - 1) - offset + 1 }
}

function suffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  if (length === 0 || size === 0) return 'unsatisfiable'
  const taken = Math.min(length, size)
  return { offset: size - taken, length: taken }
}
