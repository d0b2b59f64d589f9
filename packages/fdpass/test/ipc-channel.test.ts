import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { newFiles, textsOf } from './fixtures/files.ts'
import { own } from './fixtures/disposal.ts'
import { newPair, next } from './fixtures/sockets.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

describe('Node’s channel to a child, which a foreign descriptor aborts', () => {
  test('stays as it is: ours go beside it, and messages of both arrive', async () => {
    const [a, b] = newPair()
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { FdSocket } from '@x/fdpass'
        const socket = FdSocket.from(4)
        process.on('message', (text) => process.send('answer to ' + text))
        for await (const message of socket) await socket.send(message.data, message.claim(), { move: true })
        process.disconnect()`,
      ],
      { cwd: root, stdio: ['ignore', 'inherit', 'inherit', 'ipc', b.fd] },
    )
    own({ [Symbol.dispose]: () => child.kill('SIGKILL') })
    b.close()
    const exited = once(child, 'exit')
    for (let i = 0; i < 5; i++) {
      // A regular file, and several descriptors: each of them would end the child, or be lost, on its channel.
      await a.send(`message ${i}`, newFiles('1', '2', '3'))
      const answered = once(child, 'message')
      child.send(`question ${i}`)
      const message = await next(a)
      expect([message.data.toString(), textsOf(message)]).toEqual([`message ${i}`, ['1', '2', '3']])
      expect((await answered)[0]).toBe(`answer to question ${i}`)
    }
    await a.end()
    expect(await exited).toEqual([0, null])
  })
})
