import { styleText } from 'node:util'

/** A column: its heading, and whether its cells are numbers, which stand to the right. */
export interface Column {
  heading: string
  isNumber?: boolean
}

/** A table for a person, with its headings underlined where standard output is a terminal with colours. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ heading }, index) =>
    Math.max(heading.length, ...rows.map((row) => row[index]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ isNumber = false }, index) => {
        const cell = cells[index] ?? ''
        const width = widths[index] ?? 0
        return isNumber ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const head = line(columns.map(({ heading }) => heading))
  return [styleText('bold', head, { stream: process.stdout }), ...rows.map(line)]
    .map((row) => `${row}\n`)
    .join('')
}

/** A span of time for a person: its two greatest units, as in `3 d 4 h`. */
export function readableDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const
  const first = parts.findIndex(([value]) => value > 0)
  const shown = parts.slice(first === -1 ? 3 : first).slice(0, 2)
  return shown.map(([value, unit]) => `${value} ${unit}`).join(' ')
}
