import { closeSync, openSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { release } from 'node:os'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { FdPassError, FdSocket, listenFds } from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { activate, freeAddress, listenPid, listenPidfd, node, Service } from './fixtures/service.ts'
import { setVariables, variablesSet } from './fixtures/variables.ts'

const LISTEN = ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES']

/** What a service says of what it was passed. */
const DESCRIBE = `
  const describe = (passed) => passed.map(({ name, fd }) => [name, fd.fd, fd.kind])
  const variables = () => ${JSON.stringify(LISTEN)}.filter((name) => name in process.env)`

const newFile = (content: string): { fd: number } => {
  const path = `${newFolder()}/file`
  writeFileSync(path, content)
  const fd = openSync(path, 'r')
  own({
    [Symbol.dispose]: () => {
      closeSync(fd)
    },
  })
  return { fd }
}

const newPair = (type: 'stream' | 'seqpacket'): [FdSocket, FdSocket] => {
  const ends = FdSocket.pair({ type })
  for (const end of ends) own(end)
  return ends
}

describe('under systemd-socket-activate', () => {
  test('streams, tcp and unix, by their names', async () => {
    const { host, port } = await freeAddress()
    const path = `${newFolder()}/control`
    const service = await activate(
      2,
      ['-l', `${host}:${port}`, '-l', path, '--fdname=web:control'],
      node(`${DESCRIBE}
        import { createServer } from 'node:net'
        const [web, control] = f.listenFds()
        tell([...describe([web, control]), variables()])
        createServer((socket) => socket.end('hello')).listen({ fd: web.fd.take() })
        const listener = f.FdListener.from(control.fd, { nonblocking: true })
        for await (const socket of listener) await socket.send('control here')`),
    )
    const client = own(await FdSocket.connect(path)) // it is started by that
    expect(await service.tells()).toEqual([
      ['web', 3, 'tcp-listener'],
      ['control', 4, 'unix-stream-listener'],
      [],
    ])
    expect((await client.recv())?.data.toString()).toBe('control here')
    expect(await text(connect(port, host))).toBe('hello')
  })

  test('a seqpacket socket, and one without a name', async () => {
    const folder = newFolder()
    const service = await activate(
      2,
      ['--seqpacket', '-l', `${folder}/a`, '-l', `${folder}/b`],
      node(`${DESCRIBE}
        const passed = f.listenFds()
        tell(describe(passed))
        const listener = f.FdListener.from(passed[1].fd, { nonblocking: true })
        const socket = await listener.accept()
        const message = await socket.recv()
        await socket.send([message.data, Buffer.from('!')], message.fds)`),
    )
    const client = own(await FdSocket.connect(`${folder}/b`, { type: 'seqpacket' }))
    await client.send('echo', [newFile('content')])
    expect(await service.tells()).toEqual([
      ['unknown', 3, 'unix-seqpacket-listener'],
      ['unknown', 4, 'unix-seqpacket-listener'],
    ])
    const answer = own((await client.recv())!)
    expect([answer.data.toString(), answer.fds[0]?.kind]).toEqual(['echo!', 'file'])
  })

  test('datagrams, udp and unix: what had started the service is there to be read', async () => {
    const { host, port } = await freeAddress()
    const folder = newFolder()
    const service = await activate(
      2,
      ['--datagram', '-l', `${folder}/socket`, '-l', `${host}:${port}`, '--fdname=local:net'],
      node(`${DESCRIBE}
        const passed = f.listenFds()
        tell(describe(passed))
        const message = await f.FdSocket.from(passed[0].fd).recv()
        tell([message.data.toString(), message.from])`),
    )
    const client = own(
      await FdSocket.connect(`${folder}/socket`, { type: 'dgram', localName: `${folder}/client` }),
    )
    await client.send('wake up')
    expect(await service.tells()).toEqual([
      ['local', 3, 'unix-dgram'],
      ['net', 4, 'udp'],
    ])
    expect(await service.tells()).toEqual(['wake up', `${folder}/client`])
  })

  test('--accept: a connection for each process', async () => {
    const path = `${newFolder()}/socket`
    await activate(
      1,
      ['--accept', '-l', path],
      node(`
        const [{ fd }] = f.listenFds()
        const socket = f.FdSocket.from(fd)
        await socket.send(String(socket.peer.pid))`),
    )
    for (let count = 0; count < 2; count++) {
      const client = own(await FdSocket.connect(path))
      expect((await client.recv())?.data.toString()).toBe(String(process.pid))
    }
  })
})

describe('what was passed', () => {
  test('each descriptor has an owner, is close-on-exec, and is there once', async () => {
    const service = Service.start(
      [
        ...listenPid,
        ...node(`${DESCRIBE}
          import { readFileSync } from 'node:fs'
          const passed = f.listenFds()
          const again = f.listenFds()
          const flags = passed.map(({ fd }) => /flags:\\s*(\\d+)/.exec(readFileSync('/proc/self/fdinfo/' + fd.fd, 'utf8'))[1])
          tell([describe(passed), describe(again), variables(), flags.every((each) => parseInt(each, 8) & 0o2000000)])
          tell(readFileSync(passed[0].fd.fd, 'utf8'))
          passed[0].fd.close()
          let code
          try { readFileSync(3) } catch (error) { code = error.code }
          tell(code)`),
      ],
      {
        fds: [newFile('content'), newPair('seqpacket')[0]],
        env: { LISTEN_FDS: '2', LISTEN_FDNAMES: ':state-1.2 x' },
      },
    )
    const names = [
      ['', 3, 'file'],
      ['state-1.2 x', 4, 'unix-seqpacket'],
    ]
    expect(await service.tells()).toEqual([names, [], [], true])
    expect(await service.tells()).toBe('content')
    expect(await service.tells()).toBe('EBADF')
  })

  test('with unset: false the variables stay, and a second call finds the owner: EBUSY', async () => {
    const service = Service.start(
      [
        ...listenPid,
        ...node(`${DESCRIBE}
          const passed = f.listenFds({ unset: false })
          tell([describe(passed), variables()])
          try { f.listenFds() } catch (error) { tell([error.code, variables()]) }
          passed[0].fd.take()
          tell(describe(f.listenFds()))`),
      ],
      { fds: [newFile('content')], env: { LISTEN_FDS: '1', LISTEN_FDNAMES: 'state' } },
    )
    const variables = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']
    expect(await service.tells()).toEqual([[['state', 3, 'file']], variables])
    expect(await service.tells()).toEqual(['EBUSY', variables])
    expect(await service.tells()).toEqual([['state', 3, 'file']])
  })

  test('a worker that starts afterwards finds nothing; one that calls owns what it gets', async () => {
    const worker = (first: string): string => `${DESCRIBE}
      import { once } from 'node:events'
      import { Worker } from 'node:worker_threads'
      ${first}
      const source = "import { listenFds } from '@x/fdpass'; import { parentPort } from 'node:worker_threads';"
        + "parentPort.postMessage(listenFds().length)"
      const worker = new Worker(source, { eval: true, execArgv: ['--input-type=module'] })
      const [count] = await once(worker, 'message')
      await once(worker, 'exit')
      let kind
      try { kind = f.Fd.from(3).kind } catch (error) { kind = error.code }
      tell([count, kind === 'file'])`
    const passed = { fds: [newFile('content')], env: { LISTEN_FDS: '1' } }
    const after = Service.start([...listenPid, ...node(worker('f.listenFds()[0].fd.take()'))], passed)
    expect(await after.tells()).toEqual([0, true])
    const instead = Service.start([...listenPid, ...node(worker(''))], passed)
    expect(await instead.tells()).toEqual([1, false]) // closed with the thread
  })
})

describe('for whom', () => {
  test('not set: nothing', () => {
    setVariables(Object.fromEntries(LISTEN.map((name) => [name, undefined])))
    expect(listenFds()).toEqual([])
    setVariables({ LISTEN_PID: String(process.pid) })
    expect(listenFds()).toEqual([])
  })

  test('another process: nothing, whatever the other variables say, and they are unset', () => {
    setVariables({ LISTEN_PID: String(process.pid + 1), LISTEN_FDS: 'x', LISTEN_FDNAMES: 'a:b' })
    expect(listenFds({ unset: false })).toEqual([])
    expect(variablesSet(...LISTEN)).toEqual(['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'])
    expect(listenFds()).toEqual([])
    expect(variablesSet(...LISTEN)).toEqual([])
  })

  const told = node(`${DESCRIBE}
    tell([describe(f.listenFds()), variables()])`)

  test('LISTEN_PIDFDID of this process', async () => {
    const env = { LISTEN_FDS: '1' }
    const service = Service.start([...listenPidfd, ...told], { fds: [newFile('content')], env })
    expect(await service.tells()).toEqual([[['unknown', 3, 'file']], []])
  })

  // Before Linux 6.9 pidfds have no numbers of their own, and there is nothing to compare.
  const [major = 0, minor = 0] = release().split('.').map(Number)
  test.runIf(major * 100 + minor >= 609)(
    'LISTEN_PIDFDID of an earlier process with the same pid: nothing',
    async () => {
      const env = { LISTEN_FDS: '1', LISTEN_PIDFDID: '1' }
      const service = Service.start([...listenPid, ...told], { fds: [newFile('content')], env })
      expect(await service.tells()).toEqual([[], []])
    },
  )
})

describe('refused, and nothing has changed', () => {
  const pid = String(process.pid)

  test.each([
    ['LISTEN_PID is no number', { LISTEN_PID: 'me', LISTEN_FDS: '1' }, 'LISTEN_PID'],
    ['LISTEN_PID is empty', { LISTEN_PID: '', LISTEN_FDS: '1' }, 'LISTEN_PID'],
    ['LISTEN_PID is 0', { LISTEN_PID: '0', LISTEN_FDS: '1' }, 'LISTEN_PID'],
    ['LISTEN_FDS is no number', { LISTEN_PID: pid, LISTEN_FDS: '1 ' }, 'LISTEN_FDS'],
    ['LISTEN_FDS is empty', { LISTEN_PID: pid, LISTEN_FDS: '' }, 'LISTEN_FDS'],
    ['LISTEN_FDS is 0', { LISTEN_PID: pid, LISTEN_FDS: '0' }, 'LISTEN_FDS'],
    ['LISTEN_FDS is negative', { LISTEN_PID: pid, LISTEN_FDS: '-1' }, 'LISTEN_FDS'],
    ['LISTEN_FDS is more than numbers go', { LISTEN_PID: pid, LISTEN_FDS: '2147483645' }, 'LISTEN_FDS'],
    ['LISTEN_PIDFDID is no number', { LISTEN_PID: pid, LISTEN_PIDFDID: '0x1', LISTEN_FDS: '1' }, 'PIDFDID'],
    [
      'LISTEN_PIDFDID has more than 64 bits',
      { LISTEN_PID: pid, LISTEN_PIDFDID: '18446744073709551616', LISTEN_FDS: '1' },
      'PIDFDID',
    ],
  ])('%s: EINVAL', (_, variables, culprit) => {
    setVariables(Object.fromEntries(LISTEN.map((name) => [name, undefined])))
    setVariables(variables)
    const before = variablesSet(...LISTEN)
    expect(() => listenFds()).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining(culprit) as string }),
    )
    expect(variablesSet(...LISTEN)).toEqual(before)
  })

  test('options that are not known: EINVAL', () => {
    for (const options of [{ unsett: true }, { unset: 1 }] as object[]) {
      expect(() => listenFds(options)).toThrow(FdPassError)
    }
  })

  const refused = node(`${DESCRIBE}
    try { tell(describe(f.listenFds())) }
    catch (error) { tell([error.code, variables(), f.Fd.from(3).kind]) }`)

  test.each([
    ['more names than descriptors: EINVAL', 'EINVAL', { LISTEN_FDS: '1', LISTEN_FDNAMES: 'a:' }],
    ['fewer names: EINVAL', 'EINVAL', { LISTEN_FDS: '2', LISTEN_FDNAMES: 'a' }],
    ['a descriptor that is not open: EBADF', 'EBADF', { LISTEN_FDS: '4000', LISTEN_FDNAMES: 'a' }],
    ['one that Node has opened in its place: EBADF', 'EBADF', { LISTEN_FDS: '3', LISTEN_FDNAMES: 'a:b:c' }],
  ])('%s', async (_, code, env) => {
    const service = Service.start([...listenPid, ...refused], {
      fds: [newFile('content'), newPair('stream')[0]],
      env,
    })
    expect(await service.tells()).toEqual([code, ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'], 'file'])
  })
})
