import type { ImageDescription, ImageValue } from '@x/restore'

const LONGEST = 60

/** One image: a line or more for each record. */
export function imageText({ magic, entries }: ImageDescription): string {
  const title = `${magic}, ${entries.length === 1 ? '1 record' : `${entries.length} records`}\n`
  return title + entries.map((entry, place) => `${place}: ${fieldsText(entry)}\n`).join('')
}

function fieldsText(fields: Readonly<Record<string, ImageValue>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${valueText(name, value)}`)
    .join(', ')
}

function valueText(name: string, value: ImageValue): string {
  if (Array.isArray(value)) return `[${value.map((each: ImageValue) => valueText(name, each)).join(', ')}]`
  if (typeof value === 'object') return `{ ${fieldsText(value as Readonly<Record<string, ImageValue>>)} }`
  if (typeof value === 'string') return textOf(value)
  // Flags and modes are read in octal by everybody.
  return /flags$|^mode$|^umask$/u.test(name) ? `0${value.toString(8)}` : String(value)
}

function textOf(value: string): string {
  return value.length <= LONGEST ? JSON.stringify(value) : `${JSON.stringify(value.slice(0, LONGEST))}…`
}
