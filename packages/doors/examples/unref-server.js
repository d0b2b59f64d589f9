/**
 * The server of Stevens' examples of DOOR_UNREF (UNIX Network Programming, volume 2, chapter 15): squares of numbers.
 *
 *     node unref-server.js PATH [--close] [--slow SECONDS]
 *
 * With --close it drops its own reference as soon as the door has a name.
 */
import { parseArgs } from 'node:util'
import { createDoor } from '@x/doors'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { close: { type: 'boolean', default: false }, slow: { type: 'string', default: '0' } },
})

const door = createDoor(
  async (data) => {
    const number = Number(data)
    console.log(`arg = ${number}`)
    await new Promise((resolve) => setTimeout(resolve, Number(values.slow) * 1000))
    console.log(`returning ${number}`)
    return String(number * number)
  },
  { unref: 'once', onUnreferenced: () => console.log('door unreferenced') },
)
door.attach(positionals[0])
console.log('attached')
if (values.close) door.close()
