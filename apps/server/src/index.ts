// What the author of a handler needs; the server itself is the program `x-server`.
export type {
  HandlerContext,
  HandlerLog,
  HandlerModule,
  HttpRequest,
  MountSpec,
  ResponseLike,
  ServerHealth,
} from './handler.ts'
export { fromFetch, type FetchHandler } from './handlers/fetch/from-fetch.ts'
export { fromNodeListener, type NodeListener } from './handlers/node-listener/from-node-listener.ts'
export {
  ServerSentEvents,
  type ServerSentEventsOptions,
} from './handlers/server-sent-events/server-sent-events.ts'
export type { ServerSentEvent } from './handlers/server-sent-events/event-text.ts'
export { serveDoor, type DoorContext, type DoorHandler } from './handlers/door/serve-door.ts'
