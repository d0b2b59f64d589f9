import { availableParallelism } from 'node:os'

/** Where a call can be served: by one thread of a pool, or on the event loop that made the door. */
const servers = [{ server: 'pool', pool: 2 }, { server: 'event loop' }]
const calls = [
  { name: 'callInto, area', how: 'callInto', area: true },
  { name: 'callInto, socket', how: 'callInto', area: false },
  { name: 'callSync, area', how: 'callSync', area: true, descriptor: true },
  { name: 'call, area', how: 'call', area: true, descriptor: true },
  { name: 'call, socket', how: 'call', area: false, descriptor: true },
]

const doors = calls.flatMap(({ name, descriptor = false, ...call }) =>
  servers.map(({ server, ...place }) => ({
    name: `${name}; ${server}`,
    descriptor,
    options: { subject: 'doors', ...call, ...place },
  })),
)
const net = { name: 'net.Socket', options: { subject: 'net' } }

/** What is measured beside C. `descriptor`: it can bring one along. */
export const subjects = [
  ...doors,
  net,
  {
    name: 'process.send, advanced',
    descriptor: true,
    options: { subject: 'ipc', serialization: 'advanced' },
  },
  { name: 'process.send, json text', options: { subject: 'ipc', serialization: 'json' } },
  { name: 'worker postMessage', options: { subject: 'worker', alone: true } },
  { name: '@grpc/grpc-js', options: { subject: 'grpc' } },
]

/** Of many clients: a pool then has as many threads as there are CPUs. */
export const crowded = [...doors, net].map(({ name, options }) => ({
  name,
  options: options.pool === undefined ? options : { ...options, pool: availableParallelism() },
}))
