export interface ParsedFamily {
  type: string
  help: string
  /** By the labels as JSON, in the order in which they stand. */
  samples: Map<string, number>
}

const name = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\n"])*"'
const helpLine = new RegExp(`^# HELP (${name}) (.*)$`, 'u')
const typeLine = new RegExp(`^# TYPE (${name}) (counter|gauge)$`, 'u')
const sampleLine = new RegExp(`^(${name})(?:\\{(${label}(?:,${label})*)\\})? (\\S+)$`, 'u')

/**
 * Reads the text format as `promtool check metrics` does: each family once, with a HELP and a TYPE before its
 * samples and nothing between them; no sample twice; counters end in _total and are not negative.
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
      if (current?.name !== sampled || current.family.type === '') refuse('a sample outside of its family')
      const value = numberOf(written)
      if (Number.isNaN(value) && written !== 'NaN') refuse('no number')
      if (current?.family.type === 'counter' && value < 0) refuse('a negative counter')
      const key = JSON.stringify(labelsOf(labels))
      if (current?.family.samples.has(key) === true) refuse('a sample that is there already')
      current?.family.samples.set(key, value)
    } else refuse('not a line of the format')
  }
  for (const [family, { samples }] of families) {
    if (samples.size === 0) throw new Error(`${family} has no samples`)
  }
  return families
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
