/** What a client does next, chosen at random. */
import { DOORS, Mode } from './doors.js'
import { HEADER } from './message.js'

const SIZES = [
  { share: 15, most: 0 },
  { share: 35, most: 64 },
  { share: 30, most: 4096 },
  { share: 13, most: 66_000 },
  { share: 5, most: 2 ** 20 },
  { share: 2, most: 2 ** 24 },
]
/** Of calls that run at the same time. */
const MOST_OF_MANY = 66_000

function chooseSize(random, most = 2 ** 24) {
  let place = random(100)
  const band = SIZES.find(({ share }) => (place -= share) < 0)
  return Math.min(most, band.most === 0 ? 0 : random(band.most + 1))
}

function chooseFds(random) {
  // More than one message takes.
  if (random(300) === 0) return 254 + random(50)
  return random(5) === 0 ? 1 + random(4) : 0
}

/** How a call is given up: not at all, after some milliseconds, or by a signal. */
function chooseEnd(random, mode, door) {
  const must = (mode === Mode.wait && door.steady !== true) || mode === Mode.block
  if (!must && random(12) !== 0) return {}
  return random(2) === 0 ? { timeout: random(15) } : { abortAfter: random(10) }
}

/** One call: what is asked, what goes along, and how it is given up. */
export function chooseCall(random, client, count, door, many) {
  const most = many ? MOST_OF_MANY : undefined
  const size = chooseSize(random, most)
  const isWhole = size >= HEADER
  const mode = isWhole ? door.modes[random(door.modes.length)] : Mode.answer
  const sentFds = chooseFds(random)
  const request = {
    client: isWhole ? client : 0,
    count: isWhole ? count : 0,
    mode,
    milliseconds: random(8) === 0 ? random(20) : 0,
    replyLength: isWhole ? chooseSize(random, most) : 0,
    replyFds: isWhole ? chooseFds(random) : 0,
    passed: isWhole && random(2) === 0 ? sentFds : 0,
  }
  return {
    door,
    size,
    request,
    nonce: { client, count },
    sentFds,
    releases: random(2) === 0,
    ...chooseEnd(random, mode, door),
  }
}

export const chooseDoor = (random) => DOORS[random(DOORS.length)]

/** The way of the next call, or calls. */
export const chooseWay = (random) => ['call', 'call', 'callSync', 'callInto', 'callInto'][random(5)]
