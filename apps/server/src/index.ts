// What the author of a handler needs; the server itself is the program `x-server`.
export type { HandlerContext, HandlerLog, HandlerModule, MountSpec, ResponseLike } from './handler.ts'
export type { FileBody, HttpRequest } from '@x/http1'
