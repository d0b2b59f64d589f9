export interface ParsedFamily {
  type: string
  help: string
  /** By the labels as JSON, in the order in which they stand; of a histogram behind `_bucket`, `_sum` and `_count`. */
  samples: Map<string, number>
}

const name = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\n"])*"'
const helpLine = new RegExp(`^# HELP (${name}) (.*)$`, 'u')
const typeLine = new RegExp(`^# TYPE (${name}) (counter|gauge|histogram)$`, 'u')
const sampleLine = new RegExp(`^(${name})(?:\\{(${label}(?:,${label})*)\\})? (\\S+)$`, 'u')

/**
 * Reads the text format as `promtool check metrics` does: each family once, with a HELP and a TYPE before its
 * samples and nothing between them; no sample twice; counters end in _total and are not negative; the buckets of a
 * histogram rise, in their bounds and in what is in them, up to +Inf, which has as many as are counted.
 * @throws Error with the line that is wrong.
 */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  const families = new Map<string, ParsedFamily>()
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  let current: { name: string; family: ParsedFamily } | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const refuse = (why: string): never => {
      throw new Error(`${why}: ${line}`)
    }
    const [, helped, help = ''] = helpLine.exec(line) ?? []
    const [, typed, type = ''] = typeLine.exec(line) ?? []
    const [, sampled, labels = '', written = ''] = sampleLine.exec(line) ?? []
    if (helped !== undefined) {
      if (families.has(helped)) refuse('a family that is there already')
      if (help === '') refuse('a help that says nothing')
      current = { name: helped, family: { type: '', help, samples: new Map() } }
      families.set(helped, current.family)
    } else if (typed !== undefined) {
      if (current?.name !== typed || current.family.type !== '') refuse('a type out of place')
      if ((type === 'counter') !== typed.endsWith('_total'))
        refuse('_total is for counters, and for all of them')
      if (current !== undefined) current.family.type = type
    } else if (sampled !== undefined) {
      const suffix = suffixOf(sampled, current)
      if (suffix === undefined) refuse('a sample outside of its family')
      const value = numberOf(written)
      if (Number.isNaN(value) && written !== 'NaN') refuse('no number')
      if (current?.family.type !== 'gauge' && value < 0) refuse('a negative counter')
      const key = `${suffix}${JSON.stringify(labelsOf(labels))}`
      if (current?.family.samples.has(key) === true) refuse('a sample that is there already')
      current?.family.samples.set(key, value)
    } else refuse('not a line of the format')
  }
  for (const [family, { type, samples }] of families) {
    if (samples.size === 0) throw new Error(`${family} has no samples`)
    if (type === 'histogram') checkHistogram(family, samples)
  }
  return families
}

/** What a sample's name has behind that of its family; undefined when it belongs to another one. */
function suffixOf(
  sampled: string,
  current: { name: string; family: ParsedFamily } | undefined,
): string | undefined {
  if (current === undefined || current.family.type === '' || !sampled.startsWith(current.name))
    return undefined
  const suffix = sampled.slice(current.name.length)
  const known = current.family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
  return known.includes(suffix) ? suffix : undefined
}

/** Of one histogram without labels of its own. */
function checkHistogram(family: string, samples: ParsedFamily['samples']): void {
  const buckets = [...samples].flatMap(([key, value]) => {
    const [, bound] = /^_bucket\{"le":"([^"]+)"\}$/u.exec(key) ?? []
    return bound === undefined ? [] : [{ bound: numberOf(bound), value }]
  })
  for (const [index, { bound, value }] of buckets.entries()) {
    const before = buckets[index - 1]
    if (Number.isNaN(bound) || (before !== undefined && !(before.bound < bound && before.value <= value)))
      throw new Error(`${family} has a bucket that does not rise: ${bound}`)
  }
  const last = buckets.at(-1)
  if (last?.bound !== Infinity || last.value !== samples.get('_count{}'))
    throw new Error(`${family} counts other than its buckets`)
  if (!samples.has('_sum{}') || samples.size !== buckets.length + 2)
    throw new Error(`${family} is no histogram`)
}

function numberOf(text: string): number {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  return /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/u.test(text) ? Number(text) : NaN
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const [, key = '', value = ''] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"/gu)) {
    labels[key] = value.replaceAll(/\\(.)/gu, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
  }
  return labels
}
