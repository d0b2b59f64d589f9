import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { FdSocket } from '../src/index.ts'
import { own } from './fixtures/disposal.ts'

const examples = fileURLToPath(new URL('../examples', import.meta.url))
const isRoot = process.getuid?.() === 0
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

/** Starts an example, which is killed after the test. Its first line tells that it is ready. */
const start = async (name: string, ...args: string[]): Promise<{ child: ChildProcess; line: string }> => {
  const child = spawn(process.execPath, [join(examples, name), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  own({ [Symbol.dispose]: () => child.kill('SIGKILL') })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { child, line }
}

const newFolder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'fdpass-'))
  own({
    [Symbol.dispose]: () => {
      rmSync(path, { recursive: true })
    },
  })
  chmodSync(path, 0o755)
  return path
}

describe('hand-over.js', () => {
  test('a live TCP connection is answered by another process than the one that accepted it', async () => {
    const { line } = await start('hand-over.js')
    const [, port, acceptor] = /^port (\d+) of (\d+)$/.exec(line)!
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const curl = spawn('curl', ['-sS', `http://127.0.0.1:${port!}/`], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        return text(curl.stdout)
      }),
    )
    const [first] = answers
    expect(first).toMatch(/^answered by \d+\n$/)
    expect(first).not.toContain(acceptor)
    expect(new Set(answers).size).toBe(1)
  })
})

describe.skipIf(!isRoot)(`privileged-helper.js${isRoot ? '' : ' (left out: needs root)'}`, () => {
  const secret = (): { folder: string; socket: string } => {
    const folder = newFolder()
    writeFileSync(join(folder, 'shadow'), 'secret', { mode: 0o600 })
    writeFileSync(join(folder, 'other.txt'), 'other', { mode: 0o600 })
    symlinkSync('/etc/shadow', join(folder, 'link'))
    spawnSync('mkfifo', [join(folder, 'fifo')])
    return { folder, socket: join(newFolder(), 'socket') }
  }

  const read = (
    socket: string,
    name: string,
    through = nobody,
  ): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(
      'env',
      [...through, process.execPath, join(examples, 'privileged-helper.js'), 'read', socket, name],
      {
        encoding: 'utf8',
        timeout: 20_000,
      },
    )

  test('a user without rights reads what the helper opened, and only that', async () => {
    const { folder, socket } = secret()
    await start('privileged-helper.js', 'serve', socket, folder, '65534')
    expect(spawnSync('env', [...nobody, 'cat', join(folder, 'shadow')]).status).not.toBe(0)
    expect(read(socket, 'shadow')).toMatchObject({ status: 0, stdout: 'secret' })
    expect(read(socket, 'other.txt')).toMatchObject({ status: 0, stdout: 'other' })
    for (const [name, why] of [
      ['../../etc/shadow', 'that is no name of a file'],
      ['/etc/shadow', 'that is no name of a file'],
      ['..', 'that is no name of a file'],
      ['link', 'ELOOP'],
      ['fifo', 'that is no file'],
      ['absent', 'ENOENT'],
    ] as const) {
      const { status, stdout, stderr } = read(socket, name)
      expect([name, status, stdout]).toEqual([name, 1, ''])
      expect(stderr).toContain(`refused: ${why}`)
    }
  })

  test('another user is refused', async () => {
    const { folder, socket } = secret()
    await start('privileged-helper.js', 'serve', socket, folder, '65533')
    const { status, stdout, stderr } = read(socket, 'shadow')
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toContain('refused: not for you')
  })

  test('the descriptor is open for reading alone', async () => {
    const { folder, socket } = secret()
    await start('privileged-helper.js', 'serve', socket, folder, '0')
    const client = own(await FdSocket.connect(socket, { type: 'seqpacket' }))
    await client.send('shadow')
    const message = own((await client.recv())!)
    expect(message.data.toString()).toBe('ok')
    expect(() => {
      writeFileSync(message.fds[0]!.fd, 'x')
    }).toThrow('EBADF')
  })
})
