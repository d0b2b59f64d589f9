import { inspect } from 'node:util'

/** Has console.log and util.inspect show the text of toString(), for a class whose fields say nothing. */
export function inspectAsText(prototype: { toString(): string }): void {
  Object.defineProperty(prototype, inspect.custom, {
    value(this: { toString(): string }): string {
      return this.toString()
    },
  })
}
