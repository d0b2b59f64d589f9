import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import type { RestoreError } from '../src/errors.ts'
import type { Fault } from '../src/program/encode.ts'
import { CODE } from '../src/program/op.ts'
import { run, type Run, type RunOptions } from '../src/run/run.ts'
import { Builder } from './fixtures/builder.ts'
import { folder, treeOf } from './fixtures/folder.ts'
import { journalProgram, prepare } from './fixtures/journal-program.ts'
import { kill, processesOf, start } from './fixtures/tasks.ts'

const operations = (): number[] => {
  const { ops } = journalProgram('/nowhere')
  return ops.map((op, index) => index)
}

/** The error of a run that is to fail, once its helper and all of its tasks have gone. */
const failureOf = async (run: Run): Promise<RestoreError> => {
  const session = run.pid ?? -1
  const error = await run.commit().then(
    () => undefined,
    (error: unknown) => error as RestoreError,
  )
  if (error === undefined) throw new Error('it did not fail')
  await expect.poll(() => processesOf(session)).toEqual([])
  return error
}

/** Runs the program with a fault in a folder of its own, where everything has to be as before then. */
const failWith = async (options: RunOptions, failBehind?: number): Promise<RestoreError> => {
  const path = folder()
  prepare(path)
  const before = treeOf(path)
  const error = await failureOf(start(journalProgram(path, failBehind), options))
  expect(treeOf(path)).toEqual(before)
  return error
}

test('an operation that fails, at any place, leaves nothing behind', async () => {
  for (const index of operations()) {
    const { task = 0 } = journalProgram('/nowhere').ops[index] ?? {}
    const error = await failWith({}, index)
    expect(error.code).toBe('EBADF')
    expect(error.syscall).toBe('close')
    const [problem] = error.problems
    expect(problem?.reason).toBe('op-failed')
    expect(problem?.message).toMatch(`unit ${index + 1}: close: EBADF, `)
    expect(problem?.pid).toBe(task === 0 ? undefined : 1000 + task)
  }
})

for (const moment of ['before', 'within'] as const) {
  test(`a task that is killed ${moment} any operation leaves nothing behind`, async () => {
    for (const op of operations()) {
      const error = await failWith({ fault: { op, victim: 'task', moment } })
      expect(error.message).toMatch('was killed by signal 9')
      expect(error.problems[0]?.reason).toBe('task-died')
    }
  })

  test(`a helper that is killed ${moment} any operation leaves nothing behind`, async () => {
    for (const op of operations()) {
      const error = await failWith({ fault: { op, victim: 'helper', moment } })
      expect(error.problems.map(({ reason }) => reason)).toEqual(['helper-died'])
      expect(error.code).toBe('EPIPE')
    }
  })
}

const killCaller = async (fault: Fault): Promise<void> => {
  const path = folder()
  prepare(path)
  const before = treeOf(path)
  const caller = fork(fileURLToPath(new URL('fixtures/caller.js', import.meta.url)), {
    serialization: 'advanced',
  })
  onTestFinished(() => void caller.kill('SIGKILL'))
  caller.send({ program: journalProgram(path), fault })
  const sessions: number[] = []
  caller.on('message', (session: number) => sessions.push(session))
  const [, signal] = (await once(caller, 'exit')) as [null, string]
  expect(signal).toBe('SIGKILL')
  await expect.poll(() => treeOf(path)).toEqual(before)
  // One that is killed at once may not have told yet.
  await expect.poll(() => sessions.flatMap(processesOf)).toEqual([])
}

test('a caller that is killed at any operation leaves nothing behind', { timeout: 60_000 }, async () => {
  const all = operations()
  const work = async (): Promise<void> => {
    for (let op = all.pop(); op !== undefined; op = all.pop()) await killCaller({ op, victim: 'caller' })
  }
  await Promise.all([work(), work()])
})

/** A task that waits in a call, once it has said so by a name. */
const waiting = (path: string): Builder => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.mknod(task, `${path}/made`)
  builder.call(task, 'poll', [0, 0, -1])
  return builder
}

test('programs that were executed before the helper died are ended, too', async () => {
  const builder = new Builder()
  const first = builder.fork(0)
  const second = builder.fork(0)
  for (const task of [0, first, second]) builder.barrier(task)
  builder.exec(first, ['/bin/sleep', '1000'])
  // Behind what lets all tasks stay: this one comes there when the other one may be another program already.
  const op = builder.exec(second, ['/bin/sleep', '1000'])
  const error = await failureOf(start(builder.program, { fault: { op, victim: 'helper' } }))
  expect(error.problems[0]?.reason).toBe('helper-died')
})

test('a program that was executed before another failed is ended with its children', async () => {
  const builder = new Builder()
  const first = builder.fork(0)
  const second = builder.fork(0)
  for (const task of [0, first, second]) builder.barrier(task)
  builder.exec(first, ['/bin/sh', '-c', 'sleep 1000 & sleep 1000'])
  builder.exec(second, ['/nowhere'])
  const error = await failureOf(start(builder.program))
  expect(error).toMatchObject({ code: 'ENOENT', syscall: 'execve' })
})

test('a task that has become another user dies with the helper', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const NOBODY = 65_534
  const child = builder.fork(task)
  builder.call(task, 'setresuid', [NOBODY, NOBODY, NOBODY])
  const own = builder.open(task, '/dev/null')
  builder.fetch(child, task, own)
  const op = builder.call(child, 'umask', [0])
  const error = await failureOf(start(builder.program, { fault: { op, victim: 'helper' } }))
  expect(error.problems[0]?.reason).toBe('helper-died')
})

test('a restore that takes longer than its deadline is rolled back', async () => {
  const path = folder()
  const error = await failureOf(start(waiting(path).program, { deadline: 50 }))
  expect(error.code).toBe('ETIMEDOUT')
  expect(error.problems[0]?.reason).toBe('deadline')
  expect(treeOf(path)).toEqual([])
})

test('a deadline does not run while the caller has not said commit', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.barrier(0)
  builder.barrier(task)
  builder.call(task, 'poll', [0, 0, -1])
  const started = start(builder.program, { deadline: 100 })
  await started.ready
  // Longer than the deadline: an event that comes later by itself.
  await new Promise((resolve) => setTimeout(resolve, 150))
  const error = await failureOf(started)
  expect(error.problems[0]?.reason).toBe('deadline')
})

test('an AbortSignal rolls back, and its reason is what the promises reject with', async () => {
  const path = folder()
  const abort = new AbortController()
  const started = start(waiting(path).program, { signal: abort.signal })
  await expect.poll(() => treeOf(path)).toHaveLength(1)
  const reason = new Error('no longer wanted')
  abort.abort(reason)
  expect(await failureOf(started)).toBe(reason)
  await expect(started.ready).rejects.toBe(reason)
  expect(treeOf(path)).toEqual([])
  expect(() => run(waiting(path).program, { signal: abort.signal })).toThrow(reason)
})

test('rollback resolves when all is gone, from the beginning, from the barrier, and twice', async () => {
  const path = folder()
  prepare(path)
  const before = treeOf(path)
  const early = start(journalProgram(path))
  const error = failureOf(early)
  await early.rollback()
  expect((await error).problems[0]?.reason).toBe('rolled-back')
  expect(treeOf(path)).toEqual(before)

  const ready = start(journalProgram(path))
  await ready.ready
  expect(treeOf(path)).not.toEqual(before)
  await ready.rollback()
  expect(treeOf(path)).toEqual(before)
  await ready.rollback()
  await expect(ready.commit()).rejects.toMatchObject({ code: 'ECANCELED' })
})

test('what has been held is not rolled back any more', async () => {
  const builder = new Builder()
  builder.fork(0)
  const started = start(builder.program)
  const { pids } = await started.commit()
  await expect(started.rollback()).rejects.toMatchObject({ code: 'EALREADY', problems: [{ reason: 'held' }] })
  for (const pid of pids.slice(1)) kill(pid)
})

test('a task that somebody kills at its barrier is the end of all', async () => {
  const builder = new Builder()
  const parent = builder.fork(0)
  const child = builder.fork(parent)
  builder.fork(child)
  const started = start(builder.program)
  const session = started.pid ?? -1
  await started.ready
  const [, , , pid = 0] = processesOf(session)
  kill(pid)
  const error = await started.commit().catch((error: unknown) => error as RestoreError)
  expect(error).toMatchObject({ problems: [{ reason: 'task-died' }] })
  await expect.poll(() => processesOf(session)).toEqual([])
})

test('a name that cannot be taken away is told', async () => {
  const path = folder()
  const builder = new Builder()
  const task = builder.fork(0)
  builder.mkdir(task, `${path}/made`)
  builder.call(task, 'mknodat', [-100, { kind: 2, value: builder.text(`${path}/made/guest`) }, 0o100600, 0])
  builder.call(task, 'close', [-1])
  const error = await failureOf(start(builder.program))
  expect(error.problems.map(({ reason }) => reason)).toEqual(['op-failed', 'undo-failed'])
  expect(error.problems[1]?.message).toMatch(`${path}/made: ENOTEMPTY, `)
})

test('a program that two tasks could wait in is refused by the helper', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.op(task, CODE.wait, [0, 99])
  const error = await failureOf(start(builder.program))
  expect(error.problems[0]?.reason).toBe('bad-program')
})
