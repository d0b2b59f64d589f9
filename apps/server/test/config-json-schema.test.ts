import { expect, test } from 'vitest'
import { configJsonSchema } from './config-json-schema.ts'

test('config.schema.json is what the configuration is checked by; `vitest -u` writes it anew', async () => {
  await expect(configJsonSchema()).toMatchFileSnapshot('../config.schema.json')
})

test('it names every key, its type, its range and its default', () => {
  const schema = JSON.parse(configJsonSchema()) as { properties: Record<string, Record<string, unknown>> }
  expect(schema).toMatchObject({ type: 'object', additionalProperties: false, required: [] })
  expect(schema.properties.port).toMatchObject({
    type: 'integer',
    minimum: 0,
    maximum: 65_535,
    default: 8080,
  })
  expect(schema.properties.workers).not.toHaveProperty('default')
  expect(schema.properties.mounts).toMatchObject({
    type: 'array',
    items: { required: ['prefix'], oneOf: [{ required: ['module'] }, { required: ['static'] }] },
  })
  expect(schema.properties.log).toMatchObject({ properties: { level: { default: 'info' } } })
})
