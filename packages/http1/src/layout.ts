// The numbers of the lists that native code and JavaScript share; native/layout.h holds the same.

/** The methods that are implemented, in the order of their numbers: what OPTIONS * allows. */
export const METHODS: readonly Method[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']

/** A request method that is implemented; any other is answered 501 and never reaches a handler. */
export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS' | 'PATCH'

export const RECORD_STRIDE = 18
export const RECORD = {
  descriptor: 0,
  generation: 1,
  flags: 2,
  method: 3,
  start: 4,
  end: 5,
  target: 6,
  path: 8,
  query: 10,
  host: 12,
  fieldsAt: 14,
  fieldCount: 15,
  bodyAt: 16,
  bodySize: 17,
} as const

export const RECORD_FLAG = {
  minorZero: 1,
  keepAlive: 2,
  hasBody: 4,
  bodyComplete: 8,
  expectsContinue: 16,
  hasQuery: 32,
  hasTrailers: 64,
} as const

export const FIELD_STRIDE = 4

export const ENTRY_STRIDE = 24
export const ENTRY_LINES = 12
export const ENTRY = {
  descriptor: 0,
  generation: 1,
  kind: 2,
  flags: 3,
  status: 4,
  extraAt: 5,
  extraSize: 6,
  bodyAt: 7,
  bodySize: 8,
  lineCount: 9,
  firstLine: 10,
  outcome: 22,
} as const

export const KIND = { response: 0, finish: 1, abort: 2 } as const

export const FLAG = {
  close: 1,
  ownDate: 2,
  length: 4,
  chunked: 8,
  bodyInArena: 16,
  bodyReference: 32,
  bodyFile: 64,
  moreFollows: 128,
} as const

export const OUTCOME = { done: 0, blocked: 1, gone: 2 } as const

export const LENGTH_STRIDE = 3
export const LENGTH = { content: 0, progress: 1, fileOffset: 2 } as const

export const CONTROL_SIZE = 12
export const CONTROL = {
  rearmCount: 0,
  closingCount: 1,
  acceptErrno: 2,
  unfinished: 3,
  wantsRoom: 4,
  refusedStatus: 5,
  bodyDone: 6,
  stillBlocked: 7,
  first: 8,
  yields: 9,
  backlogEmpty: 10,
  inHand: 11,
} as const

/**
 * Seconds up to which a request counts in a bucket; those that last longer are in one more. A request lasts from the
 * moment at which the engine began to read the batch that brought the last byte of its head (in a pipeline: from the
 * moment at which its turn came) until the kernel has taken the last byte of its response, as the flush that has seen
 * to that ends. Requests whose response broke off are in none.
 */
export const durationBounds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** Name of the counter of requests in the bucket up to this bound and above the one before; Infinity is the last. */
export const durationCounter = (bound: number): string => `duration${bound}`

/** Names of the counters, in the order in which an engine's `counters` hold them. */
export const counterNames: readonly string[] = [
  'requests',
  'responses2xx',
  'responses3xx',
  'responses4xx',
  'responses5xx',
  'bytesIn',
  'bytesOut',
  'accepted',
  'closed',
  'parseErrors',
  'timeouts',
  'refused',
  'durationSum',
  ...[...durationBounds, Infinity].map(durationCounter),
]
