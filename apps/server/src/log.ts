import { styleText } from 'node:util'
import { destination, pino } from 'pino'
import type { Logger, LoggerOptions } from 'pino'
import type { LogLevel } from './config/config.ts'

/**
 * The server's log, on standard output: a line of JSON an entry, or a line for people where that is a terminal.
 * Written synchronously, so that the last lines before an end are never lost.
 */
export function createLog(level: LogLevel): Logger {
  const options = logOptions(level)
  const output = destination({ fd: 1, sync: true })
  if (!process.stdout.isTTY) return pino(options, output)
  return pino(options, { write: (entry: string) => output.write(readableEntry(entry)) })
}

/** What all lines have in common. */
export function logOptions(level: LogLevel): LoggerOptions {
  return { level, base: { pid: process.pid }, timestamp: isoTime }
}

function isoTime(): string {
  return `,"time":"${new Date().toISOString()}"`
}

const levels: Readonly<Record<number, string>> = {
  10: styleLevel('gray', 'TRACE'),
  20: styleLevel('gray', 'DEBUG'),
  30: styleLevel('green', 'INFO '),
  40: styleLevel('yellow', 'WARN '),
  50: styleLevel('red', 'ERROR'),
  60: styleLevel('red', 'FATAL'),
}

function styleLevel(colour: 'gray' | 'green' | 'yellow' | 'red', name: string): string {
  return styleText(colour, name, { stream: process.stdout })
}

interface Entry {
  time: string
  level: number
  msg?: string
  err?: { stack?: string }
  [field: string]: unknown
}

/** Writes pino's line of JSON for a person: time of day, level, message, and the other fields. */
export function readableEntry(line: string): string {
  const { time, level, msg = '', err, ...fields } = JSON.parse(line) as Entry
  const rest = Object.entries(fields).map(([name, value]) => {
    if (name === 'pid') return ''
    const shown = typeof value === 'string' && /^[\w./:@-]+$/u.test(value) ? value : JSON.stringify(value)
    return ` ${name}=${shown}`
  })
  const stack = err?.stack === undefined ? '' : `\n${err.stack.replace(/^/gmu, '    ')}`
  return `${time.slice(11, 23)} ${levels[level] ?? String(level)} ${msg}${rest.join('')}${stack}\n`
}
