import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { openDoor } from '../src/index.ts'
import { codeOf, newFolder, own } from './fixtures/disposal.ts'

const examples = fileURLToPath(new URL('../examples', import.meta.url))
const isRoot = process.getuid?.() === 0
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

/** An example that goes on until it is killed, after the test; its first line tells that it is ready. */
class Example implements Disposable {
  readonly process: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(name: string, args: string[]) {
    const child = spawn(process.execPath, [join(examples, name), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.process = child
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  }

  async next(): Promise<unknown> {
    return (await this.#lines.next()).value
  }

  [Symbol.dispose](): void {
    this.process.kill('SIGKILL')
  }
}

const start = async (line: string, name: string, ...args: string[]): Promise<Example> => {
  const example = own(new Example(name, args))
  expect(await example.next()).toBe(line)
  return example
}

/** An example that ends by itself. */
const run = (name: string, args: string[], through: string[] = []): Outcome =>
  spawnSync('env', [...through, process.execPath, join(examples, name), ...args], {
    encoding: 'utf8',
    timeout: 20_000,
  })

describe('name-service.js', () => {
  const name = 'name-service.js'

  test('75: doors of two processes are found by a third, which calls them itself', async () => {
    const path = join(newFolder(), 'names')
    await start('ready', name, 'serve', path)
    const [a, b] = [
      await start('registered', name, 'offer', path, 'a'),
      await start('registered', name, 'offer', path, 'b'),
    ]
    for (const [called, server] of [
      ['a', a],
      ['b', b],
    ] as const) {
      const { stdout, stderr, status } = run(name, ['ask', path, called, 'hello'])
      expect([stderr, status]).toEqual(['', 0])
      const [, from] =
        new RegExp(`^${called}, ${server.process.pid}: (\\d+) says hello\n$`).exec(stdout) ?? []
      expect(from).not.toBe(undefined)
    }
  })

  test('a name is taken once, and is unknown before', async () => {
    const path = join(newFolder(), 'names')
    await start('ready', name, 'serve', path)
    expect(run(name, ['ask', path, 'a', 'x']).stderr).toContain('nobody is called a')
    await start('registered', name, 'offer', path, 'a')
    const { status, stderr } = run(name, ['offer', path, 'a'])
    expect(status).toBe(1)
    expect(stderr).toContain('a is taken')
  })

  test.each(['SIGKILL', 'SIGTERM'] as const)(
    'after %s of who has registered it a name is free',
    async (signal) => {
      const path = join(newFolder(), 'names')
      const names = await start('ready', name, 'serve', path)
      const server = await start('registered', name, 'offer', path, 'a')
      const exited = once(server.process, 'exit')
      server.process.kill(signal)
      expect(await names.next()).toBe('forgotten: a')
      await exited
      expect(run(name, ['ask', path, 'a', 'x']).stderr).toContain('nobody is called a')
      await start('registered', name, 'offer', path, 'a')
      expect(run(name, ['ask', path, 'a', 'x']).status).toBe(0)
    },
  )

  test('what is no door is not registered', async () => {
    const path = join(newFolder(), 'names')
    await start('ready', name, 'serve', path)
    const client = own(await openDoor(path))
    expect(await codeOf(() => client.call('register a', { fds: [0] }))).toBe('EREMOTEIO')
    expect(await codeOf(() => client.call('register a'))).toBe('EREMOTEIO')
    expect(await codeOf(() => client.call('something else'))).toBe('EREMOTEIO')
  })
})

describe.skipIf(!isRoot)(`privileged-open.js${isRoot ? '' : ' (left out: needs root)'}`, () => {
  const name = 'privileged-open.js'

  /** A folder of files that only root may read, and the door's path where others get to. */
  const newSecrets = (): { folder: string; door: string } => {
    const [folder, place] = [newFolder(), newFolder()]
    for (const each of [folder, place]) chmodSync(each, 0o755)
    mkdirSync(join(folder, 'deep'))
    writeFileSync(join(folder, 'secret'), 'secret', { mode: 0o600 })
    writeFileSync(join(folder, 'deep', 'secret'), 'deep secret', { mode: 0o600 })
    writeFileSync(join(place, 'outside'), 'outside', { mode: 0o600 })
    symlinkSync(join(place, 'outside'), join(folder, 'link'))
    symlinkSync(place, join(folder, 'deep', 'link'))
    spawnSync('mkfifo', [join(folder, 'fifo')])
    return { folder, door: join(place, 'door') }
  }

  test('a user who may not read them gets files below the folder, and nothing else', async () => {
    const { folder, door } = newSecrets()
    await start('ready', name, 'serve', door, folder, '65534', '1')
    expect(spawnSync('env', [...nobody, 'cat', join(folder, 'secret')]).status).not.toBe(0)
    expect(run(name, ['read', door, 'secret'], nobody)).toMatchObject({ status: 0, stdout: 'secret' })
    expect(run(name, ['read', door, 'deep/secret'], nobody)).toMatchObject({
      status: 0,
      stdout: 'deep secret',
    })
    for (const [path, why] of [
      ['../../etc/shadow', 'that is no path below the folder'],
      ['deep/../secret', 'that is no path below the folder'],
      ['/etc/shadow', 'that is no path below the folder'],
      ['.', 'that is no path below the folder'],
      ['link', 'links are not followed'],
      ['deep/link/outside', 'links are not followed'],
      ['fifo', 'that is no file'],
      ['deep', 'that is no file'],
      ['secret/x', 'ENOTDIR'],
      ['absent', 'ENOENT'],
    ] as const) {
      const { status, stdout, stderr } = run(name, ['read', door, path], nobody)
      expect([path, status, stdout]).toEqual([path, 1, ''])
      expect(stderr).toContain(`the procedure failed: ${why}`)
      expect(stderr).not.toContain('/proc')
    }
  })

  test('a member of the group does too, by its groups, and another user does not', async () => {
    const { folder, door } = newSecrets()
    await start('ready', name, 'serve', door, folder, '65533', '60001')
    const member = ['setpriv', '--reuid=65534', '--regid=65534', '--groups=60001']
    expect(run(name, ['read', door, 'secret'], member)).toMatchObject({ status: 0, stdout: 'secret' })
    const { status, stdout, stderr } = run(name, ['read', door, 'secret'], nobody)
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toContain('not for you')
  })

  test('50: it takes no descriptors, and no name without end; what it gives is open for reading alone', async () => {
    const { folder, door } = newSecrets()
    await start('ready', name, 'serve', door, folder, '0', '0')
    const client = own(await openDoor(door))
    expect(await codeOf(() => client.call('secret', { fds: [0] }))).toBe('ENOTSUP')
    expect(await codeOf(() => client.call('x'.repeat(4097)))).toBe('ENOBUFS')
    expect(await codeOf(() => client.call())).toBe('ENOBUFS')
    const { fds } = own(await client.call('secret'))
    expect(() => {
      writeFileSync(fds[0]!.fd, 'x')
    }).toThrow('EBADF')
  })
})

describe('calculator.js', () => {
  const name = 'calculator.js'

  test('95: computes in server threads, several calculations at a time', async () => {
    const path = join(newFolder(), 'calculator')
    await start(`serving ${path}`, name, 'serve', path, '3')
    const { stdout, stderr, status } = run(name, [
      path,
      'add 2 3',
      'multiply 6 7',
      'primes 1000',
      'divide 1 0',
    ])
    expect(status).toBe(0)
    expect(stdout.trim().split('\n').toSorted()).toEqual([
      'add 2 3 = 5',
      'multiply 6 7 = 42',
      'primes 1000 = 168',
    ])
    expect(stderr).toContain('there is no divide; there are add, multiply, primes')
  })
})
