import * as v from 'valibot'

/** Shows a refused value in a message: as JSON, shortened. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}

/**
 * An object with exactly these keys. Unlike valibot's own, it reports every unknown key and not the first one
 * only, and says which keys there are.
 */
export function strictObject<const Entries extends v.ObjectEntries>(
  entries: Entries,
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<Entries, undefined>>> {
  const known = Object.keys(entries)
  return v.pipe(
    v.custom<object>(
      (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
      (issue) => `${show(issue.input)} is not an object; write { … } with the keys ${known.join(', ')}`,
    ),
    v.looseObject(entries, 'is missing; add it'),
    v.rawCheck(({ dataset, addIssue }) => {
      const value: unknown = dataset.value
      if (typeof value !== 'object' || value === null) return
      for (const [key, input] of Object.entries(value)) {
        if (known.includes(key)) continue
        const message = `is not a known key; use ${known.join(', ')}`
        addIssue({
          message,
          path: [{ type: 'object', origin: 'key', input: { ...value }, key, value: input }],
        })
      }
    }),
  )
}

/** A whole number from `least` to `most`; `what` completes the sentence "99999 is not …". */
export function wholeNumber(what: string, least: number, most: number): v.GenericSchema<unknown, number> {
  const message = (issue: v.BaseIssue<unknown>): string =>
    `${show(issue.input)} is not ${what}; use ${least} to ${most}`
  return v.pipe(
    v.number(message),
    v.check((value) => Number.isInteger(value) && value >= least && value <= most, message),
  )
}

/** A text that is not empty; `what` completes the sentence "42 is not …". */
export function text(what: string): v.GenericSchema<unknown, string> {
  const message = (issue: v.BaseIssue<unknown>): string => `${show(issue.input)} is not ${what}; write a text`
  return v.pipe(v.string(message), v.minLength(1, message))
}

/** One line an issue: the path of its key, then what is wrong and what to do, as in `mounts[0].prefix: …`. */
export function issueLines(issues: readonly v.BaseIssue<unknown>[]): string[] {
  return issues.map((issue) => {
    const path = (issue.path ?? []).reduce((so, item) => {
      const key: unknown = item.key
      if (typeof key === 'number') return `${so}[${key}]`
      return so === '' ? String(key) : `${so}.${String(key)}`
    }, '')
    return path === '' ? issue.message : `${path}: ${issue.message}`
  })
}
