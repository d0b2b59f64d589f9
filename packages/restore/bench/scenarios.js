/**
 * @typedef {object} Scenario  A tree of processes, all but one of them children of the first.
 * @property {string} name
 * @property {string} title
 * @property {'files' | 'null' | 'pipes' | 'sockets' | 'epoll'} kind  of the descriptors, besides 0, 1 and 2
 * @property {number} processes
 * @property {number} own     descriptors that each process has for itself
 * @property {number} shared  regular files that all of them have
 */

const tree = (name, title, kind, own, more = {}) => ({
  name,
  title,
  kind,
  own,
  processes: 1,
  shared: 0,
  ...more,
})
const many = (own) => tree(`many${own}`, `${own} regular files`, 'files', own)
const shared = (files, processes) =>
  tree(`shared${files}x${processes}`, `${files} files shared by ${processes} processes`, 'files', 0, {
    processes,
    shared: files,
  })
const procs = (processes) =>
  tree(`procs${processes}`, `${processes} processes, 10 files each and 1 shared`, 'files', 10, {
    processes,
    shared: 1,
  })

/** @type {Scenario[]} */
export const scenarios = [
  tree('null1', 'only 0, 1 and 2', 'null', 0),
  many(10),
  many(1000),
  many(10_000),
  tree('null10000', '10000 times /dev/null', 'null', 10_000),
  tree('pipes1000', '500 pipes, both ends', 'pipes', 1000),
  tree('unix1000', '500 pairs of Unix sockets', 'sockets', 1000),
  tree('unix10000', '5000 pairs of Unix sockets', 'sockets', 10_000),
  tree('epoll1000', 'epoll that watches 1000 eventfds', 'epoll', 1001),
  procs(10),
  procs(100),
  shared(100, 10),
  shared(300, 10),
  shared(1000, 10),
  shared(3000, 10),
  shared(100, 100),
  tree('private1000x10', '10 processes, 1000 files each', 'files', 1000, { processes: 10 }),
]

/** What shows how time grows: each with what grows, and how many of these the scenarios in turn have. */
export const growths = [
  {
    title: 'regular files of one process',
    unit: 'descriptors',
    points: [10, 30, 100, 300, 1000, 3000, 10_000].map((count) => ({ count, scenario: many(count) })),
  },
  {
    title: '100 regular files, shared',
    unit: 'processes',
    points: [1, 2, 5, 10, 20, 50, 100].map((count) => ({ count, scenario: shared(100, count) })),
  },
  {
    title: '10 processes, shared regular files',
    unit: 'files',
    points: [10, 30, 100, 300, 1000, 3000, 10_000].map((count) => ({ count, scenario: shared(count, 10) })),
  },
  {
    title: '10 regular files in each process',
    unit: 'processes',
    points: [1, 2, 5, 10, 20, 50, 100].map((count) => ({ count, scenario: procs(count) })),
  },
]

/** How many descriptors all processes of it have. @param {Scenario} scenario */
export const descriptorsOf = ({ processes, own, shared: common }) => processes * (3 + own + common)
