/** Memory that is free goes back to the system, so that what there is of it is in use: see mallopt(3). */
const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_TRIM_THRESHOLD_: '65536' }

/** A process of the stress, as its supervisor sees it. */
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { descriptorsOf, residentOf } from './descriptors.js'

export class Program {
  #child
  #answers = new Map()
  #id = 0
  #end
  /** When it was killed, or had ended. */
  died = Infinity
  started = Date.now()

  /** `told(message)` gets what it says unasked, `ended(text)` that it has ended unasked. */
  constructor(script, args, told, ended) {
    const path = fileURLToPath(new URL(script, import.meta.url))
    this.#child = fork(path, args.map(String), { execArgv: ['--expose-gc'], env })
    this.ready = new Promise((resolve) => {
      this.#child.on('message', (message) => {
        if (message.type === 'ready') resolve(message.descriptors)
        else if (message.type === 'answer') this.#answered(message)
        else told(message)
      })
    })
    this.gone = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        const expected = this.#end === 'kill' ? signal === 'SIGKILL' : this.#end === 'end' && code === 0
        if (!expected) ended(`${script} ended with ${code ?? signal}`)
        this.died = Math.min(this.died, Date.now())
        for (const { resolve: answer } of this.#answers.values()) answer(undefined)
        resolve()
      })
    })
  }

  get pid() {
    return this.#child.pid
  }

  kill() {
    this.#end = 'kill'
    this.died = Date.now()
    this.#child.kill('SIGKILL')
    return this.gone
  }

  /** Asks it to end by itself. */
  async end() {
    this.#end = 'end'
    const last = await this.ask('end')
    await this.gone
    return last
  }

  /** Undefined when it ends before it answers. */
  ask(type) {
    const id = ++this.#id
    return new Promise((resolve) => {
      this.#answers.set(id, { type, resolve })
      this.#child.send({ type, id }, (error) => {
        if (error !== null) resolve(undefined)
      })
    })
  }

  #answered({ id, state }) {
    this.#answers.get(id).resolve(state)
    this.#answers.delete(id)
  }

  /** What it was asked and has not answered. */
  get waiting() {
    return [...this.#answers.values()].map(({ type }) => type)
  }

  get descriptors() {
    return descriptorsOf(this.pid)
  }

  /** In MiB. */
  get resident() {
    return residentOf(readFileSync(`/proc/${this.pid}/status`, 'utf8'))
  }
}
