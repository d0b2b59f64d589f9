// Many clients, each a process with one call at a time, and one server, on all CPUs.
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { median, ratio, table } from '@x/bench'
import { controlOf, start, startServer } from './child.js'
import { crowded } from './subjects.js'

const BYTES = 16
const C = 'C, seqpacket, one thread with epoll'

const inC = ({ program, seconds }) => ({
  name: C,
  measure: (clients) =>
    JSON.parse(
      execFileSync(program, ['many', clients, BYTES, seconds].map(String), {
        encoding: 'utf8',
        timeout: 60_000,
      }),
    ).rate,
})

/** Resolves when it has ended. */
const end = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve()
      return
    }
    child.once('exit', resolve)
    child.kill('SIGKILL')
  })

const inNode = ({ name, options }, { folder, seconds }) => ({
  name,
  measure: async (clients) => {
    const told = { ...options, seconds, path: join(mkdtempSync(join(folder, 'many-')), 'name') }
    const children = [await startServer(told)]
    try {
      const callers = Array.from({ length: clients }, () => start('caller.js', told))
      children.push(...callers)
      await Promise.all(callers.map(controlOf))
      const done = callers.map(controlOf)
      for (const caller of callers) caller.send('go')
      const rates = await Promise.all(done)
      return rates.reduce((sum, { rate }) => sum + rate, 0)
    } finally {
      await Promise.all(children.map(end))
    }
  },
})

const turnOf = async ({ measure }, clients) => {
  try {
    return { rate: await measure(clients) }
  } catch (error) {
    return { error: String(error) }
  }
}

const clientsOf = (clients) => `${clients} client${clients > 1 ? 's' : ''}`

const rowOf = ({ name, clients, rounds }) => {
  const failed = rounds.find(({ error }) => error !== undefined)
  const rates = rounds.flatMap(({ rate }) => rate ?? [])
  return {
    name,
    clients,
    at: clientsOf(clients),
    samples: rounds,
    rate: median(rates),
    ...(failed === undefined ? {} : failed),
  }
}

/** Every subject in turn with each number of clients, `rounds` times over. */
export const measureThroughput = async (context) => {
  const numbers = context.smoke ? [2] : [1, 2, 4, 8]
  const all = [inC(context), ...context.chosen(crowded).map((subject) => inNode(subject, context))]
  const cells = all.flatMap(({ name, measure }) =>
    numbers.map((clients) => ({ name, clients, measure, rounds: [] })),
  )
  for (let round = 0; round < context.rounds; round++) {
    for (const cell of cells) cell.rounds.push(await turnOf(cell, cell.clients))
  }
  const rows = cells.map(rowOf)
  const rowsOf = (name) => rows.filter((row) => row.name === name)
  const head = ['calls a second, of C', ...numbers.map(clientsOf)]
  const lines = all.map(({ name }) => [
    name,
    ...rowsOf(name).map(({ rate }, index) =>
      Number.isNaN(rate) ? 'failed' : `${rate.toFixed(0)} ${ratio(rate, rowsOf(C)[index].rate)}`,
    ),
  ])
  return { rows, text: table(head, lines) }
}
