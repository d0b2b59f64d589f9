/** One event of a stream (HTML, 9.2.6). At least one field is given. */
export interface ServerSentEvent {
  /** The text of the event; line breaks of any kind separate its lines. */
  data?: string
  /** The type; `message` where it is left out. */
  event?: string
  /** What the client sends as Last-Event-ID when it comes back. Empty: nothing. */
  id?: string
  /** Milliseconds that the client waits before it comes back. */
  retry?: number
}

const fields: readonly string[] = ['data', 'event', 'id', 'retry']
const lineBreak = /\r\n|\r|\n/u

/**
 * The event as it is sent.
 * @throws {TypeError} for what would be understood as something else: a line break in `event` or `id`, a NUL in `id`,
 * a `retry` that is no whole number, a field that does not exist, or no field at all.
 */
export function eventText(event: ServerSentEvent): string {
  const names = Object.keys(event)
  const unknown = names.find((name) => !fields.includes(name))
  if (unknown !== undefined) throw new TypeError(`an event has no ${unknown}; it has ${fields.join(', ')}`)
  if (names.length === 0) throw new TypeError(`an event has at least one of ${fields.join(', ')}`)
  const { data, event: type, id, retry } = event
  let text = ''
  if (type !== undefined) text += line('event', type, /[\r\n]/u)
  // A NUL would have the client ignore the whole field.
  if (id !== undefined) text += line('id', id, /[\r\n\0]/u)
  if (retry !== undefined) {
    if (!Number.isSafeInteger(retry) || retry < 0) {
      throw new TypeError(`the retry of an event is a whole number of milliseconds, not ${retry}`)
    }
    text += `retry: ${retry}\n`
  }
  if (data !== undefined) for (const each of data.split(lineBreak)) text += `data: ${each}\n`
  return `${text}\n`
}

/** A comment as it is sent: clients ignore it, and what lies between sees that the connection is in use. */
export function commentText(text: string): string {
  return `${text
    .split(lineBreak)
    .map((each) => `: ${each}\n`)
    .join('')}\n`
}

function line(name: string, value: string, refused: RegExp): string {
  if (refused.test(value)) {
    throw new TypeError(`the ${name} of an event is a single line without NUL; send texts as data`)
  }
  return `${name}: ${value}\n`
}
