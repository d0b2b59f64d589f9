import { randomUUID } from 'node:crypto'

/** JSON in lines, with whole numbers of any size written out, as CRIU's own tools do. */
export function jsonText(value: unknown): string {
  const mark = randomUUID()
  const replacer = (_: string, each: unknown): unknown => (typeof each === 'bigint' ? `${mark}${each}` : each)
  const text = JSON.stringify(value, replacer, 2).replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1')
  return `${text}\n`
}
