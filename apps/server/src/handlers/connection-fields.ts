/** The fields that speak of one connection and not of the message (RFC 9110 7.6.1). */
const connectionFields: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Whether a field, its name in lower case, belongs to the connection that it came on and not to the next one. */
export function isConnectionField(name: string): boolean {
  return connectionFields.has(name)
}

/** Whether a Connection field asks for the connection to end. */
export function asksToClose(connection: string): boolean {
  return connection.split(',').some((option) => option.trim().toLowerCase() === 'close')
}
