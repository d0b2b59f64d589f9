import { invalid } from './options.ts'

export type Payload = string | Uint8Array | readonly Uint8Array[]

/** The bytes of it, in parts. Throws FdPassError EINVAL for anything else. */
export function partsOf(data: Payload, syscall: string): readonly Uint8Array[] {
  if (typeof data === 'string') return [Buffer.from(data)]
  const parts = data instanceof Uint8Array ? [data] : data
  if (Array.isArray(parts) && parts.every((part) => part instanceof Uint8Array)) return parts
  throw invalid(syscall, 'data is a string, a Uint8Array, or an array of these')
}
