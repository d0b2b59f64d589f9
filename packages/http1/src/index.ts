export type { ConnectionCounts } from './binding.ts'
export type { RequestBody } from './body.ts'
export {
  abandon,
  connections,
  expired,
  heldBy,
  inHand,
  limitConnectionsPerAddress,
  monotonicNow,
} from './connections.ts'
export { Engine, type EngineOptions } from './engine.ts'
export { Http1Error, type Http1ErrorDetails } from './errors.ts'
export { fileBody, type FileBody } from './file-body.ts'
export {
  adoptConnection,
  connectionState,
  newConnectionState,
  reinstate,
  releaseConnection,
  setHandingOver,
  yielded,
} from './hand-over.ts'
export type { HttpHeaders } from './headers.ts'
export { counterNames, durationBounds, durationCounter, type Method, METHODS as methods } from './layout.ts'
export { closeLedger, joinLedger, openLedger, takeBack } from './ledger.ts'
export { defaultTimeouts, type Limits, type Timeouts } from './limits.ts'
export { adoptListener, listen, type ListenAddress, type Listener, type ListenOptions } from './listener.ts'
export type { Readiness } from './readiness.ts'
export type { HttpRequest } from './request.ts'
export {
  type LaterTrailers,
  methodNotAllowed,
  type ResponseBody,
  type ResponseHeaders,
  type ResponseLike,
  type ResponseTrailers,
  type TrailerFields,
} from './response.ts'
export { mayBeTrailer } from './trailers.ts'
