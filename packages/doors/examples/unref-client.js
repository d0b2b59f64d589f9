/** `node unref-client.js PATH NUMBER`: asks the server of unref-server.js for a square. */
import { openDoorSync } from '@x/doors'

const [path, number] = process.argv.slice(2)
const door = openDoorSync(path)
console.log(`result: ${door.callSync(number).data}`)
door.close()
