import { toJsonSchema } from '@valibot/to-json-schema'
import type { ConversionConfig, JsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { configSchema } from '../src/config/config.ts'
import type { JsonSchemaFacts } from '../src/config/strict-object.ts'

/** What cannot be said in a JSON schema: whether a path exists, and that no two mounts are the same. */
const onlyAtRunTime = new Set(['check', 'raw_check', 'regex'])

const conversion: ConversionConfig = {
  typeMode: 'input',
  target: 'draft-07',
  errorMode: 'throw',
  overrideSchema({ valibotSchema, jsonSchema }) {
    // An object, of which its metadata tells the rest.
    if (valibotSchema.type === 'custom') return {}
    if (!('default' in valibotSchema) || typeof valibotSchema.default !== 'function') return undefined
    // It depends on the machine.
    const { default: computed, ...rest } = jsonSchema
    return rest
  },
  overrideAction({ valibotAction, jsonSchema }) {
    if (onlyAtRunTime.has(valibotAction.type)) {
      const { pattern, ...rest } = jsonSchema
      return rest
    }
    if (valibotAction.type !== 'metadata') return undefined
    const { metadata } = valibotAction as unknown as { metadata: { jsonSchema: JsonSchemaFacts } }
    const { jsonSchema: facts, ...rest } = jsonSchema as JsonSchema & { jsonSchema: unknown }
    return withFacts(rest, metadata.jsonSchema)
  },
}

function withFacts(schema: JsonSchema, { entries, range, exactlyOneOf }: JsonSchemaFacts): JsonSchema {
  if (range !== undefined) return { ...schema, type: 'integer', minimum: range[0], maximum: range[1] }
  const { $schema, ...object } = toJsonSchema(v.strictObject(entries ?? {}), conversion)
  if (exactlyOneOf === undefined) return object
  return { ...object, oneOf: exactlyOneOf.map((key) => ({ required: [key] })) }
}

/** The JSON schema of the configuration's file, as text. */
export function configJsonSchema(): string {
  const schema = { title: 'Configuration of x-server', ...toJsonSchema(configSchema('/'), conversion) }
  return `${JSON.stringify(schema, null, 2)}\n`
}
