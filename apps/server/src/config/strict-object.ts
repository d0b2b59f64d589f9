import * as v from 'valibot'

/** Shows a refused value in a message: as JSON, shortened. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}

/** What a JSON schema says of a schema that valibot itself cannot tell, as it is written in code. */
export interface JsonSchemaFacts {
  /** The keys of an object. */
  readonly entries?: v.ObjectEntries
  /** The least and the most of a whole number. */
  readonly range?: readonly [number, number]
  /** Keys of an object of which exactly one is given. */
  readonly exactlyOneOf?: readonly string[]
}

/** Metadata of a schema for its JSON schema. */
function jsonSchemaFacts<T>(facts: JsonSchemaFacts): v.MetadataAction<T, { jsonSchema: JsonSchemaFacts }> {
  return v.metadata({ jsonSchema: facts })
}

/** The same entry of an object, with what an editor shows for its key. */
export function described<Entry extends v.GenericSchema>(description: string, entry: Entry): Entry {
  // A pipe keeps the type of what it begins with, and that is how valibot tells what may be left out.
  return v.pipe(entry, v.description(description)) as unknown as Entry
}

/**
 * An object with exactly these keys. Unlike valibot's own, it reports every unknown key and not the first one
 * only, and says which keys there are; but not those that start with `$`, which are for tools.
 */
export function strictObject<const Entries extends v.ObjectEntries>(
  entries: Entries,
  facts: Pick<JsonSchemaFacts, 'exactlyOneOf'> = {},
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<Entries, undefined>>> {
  const known = Object.keys(entries)
  const shown = known.filter((key) => !key.startsWith('$')).join(', ')
  return v.pipe(
    v.custom<object>(
      (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
      (issue) => `${show(issue.input)} is not an object; write { … } with the keys ${shown}`,
    ),
    jsonSchemaFacts({ entries, ...facts }),
    v.looseObject(entries, 'is missing; add it'),
    v.rawCheck(({ dataset, addIssue }) => {
      const value: unknown = dataset.value
      if (typeof value !== 'object' || value === null) return
      for (const [key, input] of Object.entries(value)) {
        if (known.includes(key)) continue
        const message = `is not a known key; use ${shown}`
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
    jsonSchemaFacts({ range: [least, most] }),
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
