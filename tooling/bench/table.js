/** The middle of a list of numbers, or the mean of the two in the middle. @param {number[]} values */
export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const low = sorted[Math.ceil(middle) - 1] ?? NaN
  const high = sorted[Math.floor(middle)] ?? NaN
  return (low + high) / 2
}

/**
 * How many times `value` is of `base`, as text.
 * @param {number} value
 * @param {number | undefined} base
 */
export const ratio = (value, base) =>
  base === undefined || base === 0 ? '–' : `${(value / base).toFixed(2)}x`

/**
 * A table for people: the first column to the left, numbers to the right.
 * @param {string[]} head
 * @param {string[][]} rows
 * @returns {string}
 */
export const table = (head, rows) => {
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0), title.length),
  )
  /** @param {string[]} row */
  const line = (row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}
