// Growth as an SVG: both axes are logarithmic, so that what grows with a power is a straight line, of slope 1 where it is
// linear; a line with a start-up bends into it.

/** The straight line that fits best, by relative distance, as values span decades. @param {[number, number][]} points */
export const fit = (points) => {
  // Weighted by 1/y²: minimises the sum of ((start + each·x − y) / y)².
  const sums = { w: 0, x: 0, y: 0, xx: 0, xy: 0 }
  for (const [x, y] of points) {
    const weight = 1 / y ** 2
    sums.w += weight
    sums.x += weight * x
    sums.y += weight * y
    sums.xx += weight * x * x
    sums.xy += weight * x * y
  }
  const each = (sums.w * sums.xy - sums.x * sums.y) / (sums.w * sums.xx - sums.x ** 2)
  const start = (sums.y - each * sums.x) / sums.w
  const mean = points.reduce((sum, [, y]) => sum + y, 0) / points.length
  const left = points.reduce((sum, [x, y]) => sum + (y - start - each * x) ** 2, 0)
  const whole = points.reduce((sum, [, y]) => sum + (y - mean) ** 2, 0)
  return { start, each, explained: 1 - left / whole }
}

const [WIDTH, HEIGHT, MARGIN] = [440, 300, { left: 56, right: 16, top: 34, bottom: 40 }]
const SERIES = [
  { key: 'criu', name: 'CRIU', colour: '#c0392b' },
  { key: 'ours', name: '@x/restore, plan and run', colour: '#1f6feb' },
  { key: 'floor', name: 'the floor, in C', colour: '#57606a' },
]
const decades = (values) => {
  const exponents = values.map(Math.log10)
  return [Math.floor(Math.min(...exponents)), Math.ceil(Math.max(...exponents))]
}
const text = (x, y, content, anchor = 'middle', more = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${content}</text>`
const line = (x1, y1, x2, y2) =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" class="grid"/>`

/** From values to places within a panel. */
const scales = (points) => {
  const span = (values, from, to) => {
    const [low, high] = decades(values)
    const at = (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
    const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index))
    return { at, ticks }
  }
  return {
    x: span(
      points.map(([x]) => x),
      MARGIN.left,
      WIDTH - MARGIN.right,
    ),
    y: span(
      points.map(([, y]) => y),
      HEIGHT - MARGIN.bottom,
      MARGIN.top,
    ),
  }
}

const axes = ({ x, y }, { title, unit }) => [
  ...x.ticks.flatMap((tick) => [
    line(x.at(tick), MARGIN.top, x.at(tick), HEIGHT - MARGIN.bottom),
    text(x.at(tick), HEIGHT - MARGIN.bottom + 16, String(tick)),
  ]),
  ...y.ticks.flatMap((tick) => [
    line(MARGIN.left, y.at(tick), WIDTH - MARGIN.right, y.at(tick)),
    text(MARGIN.left - 6, y.at(tick) + 4, String(Number(tick.toPrecision(1))), 'end'),
  ]),
  text(WIDTH / 2, 18, title, 'middle', ' font-weight="bold"'),
  text(WIDTH / 2, HEIGHT - 6, unit),
  text(14, HEIGHT / 2, 'ms', 'middle', ` transform="rotate(-90 14 ${HEIGHT / 2})"`),
]

/** What is measured as dots, and the straight line that fits them; CRIU's time is none. */
const series = ({ x, y }, points, { key, colour }) => {
  const dots = points.map(
    ([count, value]) =>
      `<circle cx="${x.at(count).toFixed(1)}" cy="${y.at(value).toFixed(1)}" r="3" fill="${colour}"/>`,
  )
  if (key === 'criu') return dots
  const { start, each } = fit(points)
  const [low, high] = [points[0][0], points.at(-1)[0]]
  const path = Array.from({ length: 41 }, (_, index) => low * (high / low) ** (index / 40))
    .map((count) => [x.at(count), y.at(Math.max(start + each * count, y.ticks[0]))])
    .map(([px, py], index) => `${index === 0 ? 'M' : 'L'}${px.toFixed(1)} ${py.toFixed(1)}`)
  return [`<path d="${path.join('')}" stroke="${colour}" fill="none"/>`, ...dots]
}

const panel = (row, index) => {
  const present = SERIES.filter(({ key }) => row[key].length > 0)
  const scale = scales(present.flatMap(({ key }) => row[key]))
  const place = `translate(${(index % 2) * WIDTH} ${Math.floor(index / 2) * HEIGHT})`
  const parts = [...axes(scale, row), ...present.flatMap((each) => series(scale, row[each.key], each))]
  return `<g transform="${place}">\n${parts.join('\n')}\n</g>`
}

const legend = (top) =>
  SERIES.map(({ name, colour }, index) => {
    const left = 60 + index * 240
    return `<circle cx="${left}" cy="${top}" r="4" fill="${colour}"/>${text(left + 10, top + 4, name, 'start')}`
  })

/** A panel for each row: dots are measured, lines are start + each × count. */
export const plot = (rows) => {
  const height = Math.ceil(rows.length / 2) * HEIGHT
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${height + 30}" font-family="sans-serif" font-size="12">
<style>.grid { stroke: #d0d7de } text { fill: #57606a }</style>
${rows.map(panel).join('\n')}
${legend(height + 12).join('\n')}
</svg>
`
}
