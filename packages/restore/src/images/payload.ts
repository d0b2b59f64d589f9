/** Bytes that belong to a message: in memory, or somewhere in a file. */
export type Payload = Uint8Array | FilePart

/** Bytes of a file, from `offset` on. */
export interface FilePart {
  /** As it was given to the reader, or joined to the folder that was. */
  readonly path: string
  readonly offset: number
  readonly length: number
}
