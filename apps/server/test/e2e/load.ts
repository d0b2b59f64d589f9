import { Connection } from './connection.ts'

export interface LoadResult {
  /** Responses by status. */
  statuses: Map<number, number>
  /** Connections that ended while a response was owed. */
  broken: number
}

/** Keep-alive clients that ask for one path, each as fast as it is answered, until they are told to stop. */
export class Load {
  readonly #clients: Promise<void>[]
  readonly #result: LoadResult = { statuses: new Map(), broken: 0 }
  #stopping = false

  constructor(port: number, path: string, clients: number) {
    this.#clients = Array.from({ length: clients }, () => this.#client(port, path))
  }

  /** Lets every client read the response that it waits for. */
  async stop(): Promise<LoadResult> {
    this.#stopping = true
    await Promise.all(this.#clients)
    return this.#result
  }

  /** Resolves when the server has ended every connection; responses that announced it are counted as any. */
  async ended(): Promise<LoadResult> {
    await Promise.all(this.#clients)
    return this.#result
  }

  async #client(port: number, path: string): Promise<void> {
    using connection = await Connection.open(port)
    while (!this.#stopping) {
      const response = await connection.get(path)
      if (response === undefined) {
        this.#result.broken++
        return
      }
      const { status, headers } = response
      this.#result.statuses.set(status, (this.#result.statuses.get(status) ?? 0) + 1)
      if (headers.get('connection') === 'close') return
    }
  }
}
