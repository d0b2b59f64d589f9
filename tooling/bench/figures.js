/**
 * @typedef {object} Figure  What x-server with one worker may cost, as a multiple of what another server of one thread
 *   costs in the same run.
 * @property {string} scenario
 * @property {string} than
 * @property {number} limit
 */

/** @type {Figure[]} */
const figures = [
  { scenario: 'hello-64', than: 'epoll.c', limit: 1.15 },
  { scenario: 'hello-64', than: 'uws', limit: 0.95 },
  { scenario: 'body-64k', than: 'nginx', limit: 1.1 },
  { scenario: 'connection-per-request', than: 'epoll.c', limit: 1.15 },
  { scenario: 'idle-memory', than: 'nginx', limit: 2 },
]

const judged = 'x-server-1'

/**
 * The figures that a run can judge, with what was seen.
 * @param {import('./results.js').Result[]} results
 * @returns {(Figure & { seen: number, met: boolean })[]}
 */
export const judge = (results) =>
  figures.flatMap((figure) => {
    /** @param {string} name */
    const cost = (name) =>
      results.find(({ scenario, server }) => scenario === figure.scenario && server === name)?.cost
    const [own, other] = [cost(judged), cost(figure.than)]
    // A run too short to show a cost, or memory that was given back meanwhile, judges nothing.
    if (own === undefined || other === undefined || own <= 0 || other <= 0) return []
    return [{ ...figure, seen: own / other, met: own / other <= figure.limit }]
  })

/** A line for a figure. @param {ReturnType<typeof judge>[number]} figure */
export const figureLine = ({ scenario, than, limit, seen, met }) =>
  `  ${scenario.padEnd(22)}  ${judged} <= ${limit.toFixed(2)}x ${than.padEnd(8)} ${seen.toFixed(2)}x  ${met ? 'met' : 'missed'}`
