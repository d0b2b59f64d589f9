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

/** Names of the counters, in the order in which an engine's `counters` hold them. */
export const counterNames = [
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
] as const
