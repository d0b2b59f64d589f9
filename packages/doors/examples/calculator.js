/**
 * A calculator whose procedure computes for long, in a pool of server threads: node calculator.js serve PATH [THREADS]
 * and then node calculator.js PATH 'add 2 3' 'primes 2000000' …, all at once.
 */
import { createDoor, openDoor } from '@x/doors'

const operations = {
  add: (...numbers) => numbers.reduce((sum, number) => sum + number, 0),
  multiply: (...numbers) => numbers.reduce((product, number) => product * number, 1),
  primes: (below) => {
    const composite = new Uint8Array(below)
    let count = 0
    for (let candidate = 2; candidate < below; candidate++) {
      if (composite[candidate] === 1) continue
      count++
      for (let multiple = candidate * 2; multiple < below; multiple += candidate) composite[multiple] = 1
    }
    return count
  },
}

/** What each server thread runs. It blocks its thread, and nobody else. */
export const calculate = (data) => {
  const [name, ...numbers] = String(data).split(' ')
  const operation = Object.hasOwn(operations, name) ? operations[name] : undefined
  if (operation === undefined)
    throw new Error(`there is no ${name}; there are ${Object.keys(operations).join(', ')}`)
  return String(operation(...numbers.map(Number)))
}

const [command, path, threads] = process.argv.slice(2)
if (command === 'serve') {
  const module = { module: new URL(import.meta.url), export: 'calculate' }
  const door = createDoor(module, { threads: { max: Number(threads ?? 4) } })
  door.attach(path, { reclaim: true })
  process.once('SIGTERM', () => door.revoke())
  console.log(`serving ${path}`)
} else if (process.argv[1] === import.meta.filename && command !== undefined) {
  const door = await openDoor(command)
  const answers = process.argv.slice(3).map(async (line) => {
    const { data } = await door.call(line)
    console.log(`${line} = ${data}`)
  })
  for (const { reason } of await Promise.allSettled(answers)) if (reason) console.error(reason.message)
  door.close()
}
