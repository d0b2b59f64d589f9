/** Adds up what all have counted, and judges errors that are right only when somebody has ended. */
import { DOORS } from './doors.js'

const threaded = new Set(DOORS.filter(({ threads }) => threads).map(({ name }) => name))
const fleeting = new Set(DOORS.filter(({ fleeting }) => fleeting).map(({ name }) => name))

const addTo = (sum, counts) => {
  for (const [name, value] of Object.entries(counts)) {
    if (typeof value === 'number') sum[name] = (sum[name] ?? 0) + value
    else addTo((sum[name] ??= {}), value)
  }
}

export class Tally {
  #fail
  #servers = []
  #suspects = []
  /** The last that each program and thread has said of itself. */
  #said = new Map()
  #explained = {}

  constructor(fail) {
    this.#fail = fail
  }

  serves(server) {
    this.#servers.push(server)
  }

  suspect(error) {
    this.#suspects.push(error)
  }

  clients(programs, states) {
    for (const [at, state] of states.entries()) this.#said.set(programs[at], state)
  }

  server(program, state) {
    this.#said.set(program, state)
  }

  /** EBADF and EINTR are right when the server, or the thread, or the door has gone. */
  #explain({ server, door, code, begun, ended }) {
    if (server !== 0 && this.#servers.some(({ pid, died }) => pid === server && died <= ended))
      return 'serverGone'
    if (fleeting.has(door)) return 'revoked'
    if (server === 0 && this.#noServer(begun, ended)) return 'noServer'
    return code === 'EINTR' && threaded.has(door) ? 'threadGone' : undefined
  }

  #noServer(begun, ended) {
    return this.#servers.some(({ died }, at) => {
      const next = this.#servers[at + 1]?.served ?? Infinity
      return died <= ended && next >= begun
    })
  }

  conclude() {
    for (const error of this.#suspects) {
      const explanation = this.#explain(error)
      if (explanation === undefined) this.#fail(`86: nobody has ended, and yet: ${JSON.stringify(error)}`)
      else addTo(this.#explained, { [explanation]: 1 })
    }
  }

  report() {
    const clients = { errors: {} }
    const servers = {}
    for (const [, { counts, ...rest }] of this.#said) {
      if (Array.isArray(counts)) {
        for (const each of counts) addTo(clients, each)
        addTo(clients, { started: rest.started, terminated: rest.terminated })
      } else addTo(servers, counts)
    }
    const residents = this.#servers.map(({ first, last }) => [first, last])
    return { clients, servers, explained: this.#explained, residents }
  }
}
