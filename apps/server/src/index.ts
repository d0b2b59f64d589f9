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
