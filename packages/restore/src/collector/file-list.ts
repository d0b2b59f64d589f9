import type { MessageInitShape } from '@bufbuild/protobuf'
import { FileEntrySchema, makeMessage, type FileEntry } from '../images/messages.ts'

export type FileInit = MessageInitShape<typeof FileEntrySchema> & { id: number }

/** The open file descriptions of the images, in the order in which they came, and the source of their ids. */
export class FileList {
  readonly #entries: FileInit[] = []
  #last = 0

  newId(): number {
    return ++this.#last
  }

  add(entry: FileInit): void {
    this.#entries.push(entry)
  }

  /**
   * Lets the files with these ids stand in this order, in the places that they have. Sockets that wait at a listener
   * are connected in the order of the image.
   */
  order(ids: readonly number[]): void {
    const wanted = new Set(ids)
    const places = [...this.#entries.keys()].filter((at) => wanted.has(this.#entries[at]?.id ?? 0))
    const byId = new Map(places.map((at) => [this.#entries[at]?.id, this.#entries[at]]))
    const ordered = ids.map((id) => byId.get(id)).filter((entry) => entry !== undefined)
    for (const [nth, at] of places.entries()) {
      const entry = ordered[nth]
      if (entry !== undefined) this.#entries[at] = entry
    }
  }

  messages(): FileEntry[] {
    return this.#entries.map((entry) => makeMessage(FileEntrySchema, entry))
  }
}
