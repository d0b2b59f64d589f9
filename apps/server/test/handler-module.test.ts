import { expect, onTestFinished, test } from 'vitest'
import { HandlerModuleError } from '../src/errors.ts'
import { checkHandlers, loadHandler } from '../src/handlers/handler-module.ts'
import { TemporaryFolder } from './temporary-folder.ts'

function write(content: string, name = 'handler.mjs'): string {
  const folder = new TemporaryFolder()
  onTestFinished(() => {
    folder[Symbol.dispose]()
  })
  return folder.write(name, content)
}

async function problemOf(module: string, options?: unknown): Promise<string> {
  const error: unknown = await loadHandler({ module, options }, 1).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(HandlerModuleError)
  expect(error).toMatchObject({ code: 'ERR_HANDLER_MODULE', module })
  const { message } = error as HandlerModuleError
  expect(message.startsWith(`${module}: `)).toBe(true)
  return message.slice(module.length + 2)
}

test('a module with a function `handle` is a handler', async () => {
  const module = write('export function handle() { return { body: "hello" } }\nexport function init() {}')
  const handler = await loadHandler({ module }, 1)
  expect(handler.handle).toBeTypeOf('function')
  expect(handler.init).toBeTypeOf('function')
  expect(handler.cleanup).toBeUndefined()
})

test('each generation reads the file anew; within one it is the same module', async () => {
  const folder = new TemporaryFolder()
  onTestFinished(() => {
    folder[Symbol.dispose]()
  })
  const module = folder.write('handler.mjs', 'export const version = 1; export function handle() {}')
  const first = await loadHandler({ module }, 1)
  folder.write('handler.mjs', 'export const version = 2; export function handle() {}')
  const second = await loadHandler({ module }, 2)
  expect([first, second]).toMatchObject([{ version: 1 }, { version: 2 }])
  expect(await loadHandler({ module }, 1)).toBe(first)
})

test('a missing file is refused', async () => {
  expect(await problemOf('/nowhere/handler.mjs')).toBe(
    'there is no such file; name an existing handler module',
  )
  expect(await problemOf('/tmp')).toBe('there is no such file; name an existing handler module')
})

test('a relative path is refused', async () => {
  expect(await problemOf('handler.mjs')).toBe('is not an absolute path; give one, or builtin:NAME')
})

test('a module that throws while it is loaded is refused', async () => {
  expect(await problemOf(write('throw new Error("no database")'))).toBe(
    'throws while it is loaded (no database); correct what it does or imports at its top level',
  )
  expect(await problemOf(write('import "./absent.mjs"; export function handle() {}'))).toMatch(
    /^throws while it is loaded \(Cannot find module .*absent\.mjs/u,
  )
})

test('a module without `handle` is refused with what to write', async () => {
  expect(await problemOf(write('export const name = "x"'))).toBe(
    'does not export `handle`; write `export function handle(request, ctx) { … }`',
  )
  expect(await problemOf(write('export default function () {}'))).toBe(
    'has a default export and no `handle`; instead of it write `export function handle(request, ctx) { … }`',
  )
  expect(await problemOf(write('export const handle = 5'))).toMatch(
    /^exports `handle`, but not as a function/u,
  )
})

test('init and cleanup are functions or absent', async () => {
  const handle = 'export function handle() {}\n'
  expect(await problemOf(write(`${handle}export const init = 1`))).toBe(
    'exports `init`, but not as a function; make it one or leave it out',
  )
  expect(await problemOf(write(`${handle}export const cleanup = {}`))).toMatch(/^exports `cleanup`/u)
})

test('built-in handlers go by name', async () => {
  expect(await loadHandler({ module: 'builtin:welcome' }, 1)).toHaveProperty('handle')
  expect(await loadHandler({ module: 'builtin:static', options: { folder: '/tmp' } }, 1)).toHaveProperty(
    'handle',
  )
  expect(await problemOf('builtin:absent')).toBe(
    'there is no such handler; use builtin:welcome, builtin:static, builtin:door, builtin:metrics, builtin:health or builtin:admin',
  )
  expect(await problemOf('builtin:toString')).toMatch(/^there is no such handler/u)
  expect(await problemOf('builtin:welcome', { colour: 'red' })).toMatch(/colour: is not a known key/u)
  expect(await problemOf('builtin:static', {})).toBe('folder: is missing; add it')
  expect(await problemOf('builtin:static', { folder: '/nowhere' })).toMatch(/ENOENT/u)
})

test('all broken handlers are reported together', async () => {
  const good = write('export function handle() {}')
  const bad = write('export const handle = 1')
  const mounts = [
    { prefix: '/good', spec: { module: good } },
    { prefix: '/bad', host: 'a.org', spec: { module: bad } },
    { prefix: '/gone', spec: { module: '/nowhere.mjs' } },
  ]
  const error: unknown = await checkHandlers(mounts).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(AggregateError)
  const { errors, message } = error as AggregateError
  expect(errors).toHaveLength(2)
  expect(message.split('\n')).toEqual([
    expect.stringMatching(/^mount a\.org\/bad: .*but not as a function/u),
    expect.stringMatching(/^mount \/gone: .*no such file/u),
  ])
  await checkHandlers([{ prefix: '/', spec: { module: good } }])
})
