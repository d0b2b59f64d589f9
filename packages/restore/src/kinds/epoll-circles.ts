import type { Problem } from '../errors.ts'
import type { File } from '../model/file.ts'
import type { Situation } from './kind.ts'
import { placeOf } from './named.ts'

/** Epolls that the kernel lets watch each other in a chain (EP_MAX_NESTS). */
const LONGEST_CHAIN = 5

/**
 * Epolls that watch each other in a circle, or in too long a chain: the kernel refuses the last watch (ELOOP). A circle
 * is told once, at its member with the lowest id.
 */
export function* epollCircles(
  file: File,
  situation: Situation,
  watchedBy: (file: File, situation: Situation) => File[],
): Iterable<Problem> {
  const circle = findCircle(file, (each) => watchedBy(each, situation))
  if (circle !== undefined) {
    if (circle.every(({ id }) => id >= file.id)) yield circleProblem(circle)
    return
  }
  const length = depth(file, (each) => watchedBy(each, situation), new Map())
  if (length > LONGEST_CHAIN)
    yield {
      reason: 'epoll-chain',
      message: `${nameOf(file)} is the first of ${length} epolls that watch each other, and the kernel allows ${LONGEST_CHAIN}`,
      file: file.id,
      ...placeOf(file),
    }
}

/** The shortest way from a file back to itself. */
function findCircle(start: File, next: (file: File) => File[]): File[] | undefined {
  const from = new Map<File, File | undefined>([[start, undefined]])
  const queue = [start]
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    for (const target of next(file)) {
      if (target === start) return wayTo(file, from)
      if (from.has(target)) continue
      from.set(target, file)
      queue.push(target)
    }
  }
  return undefined
}

function wayTo(end: File, from: ReadonlyMap<File, File | undefined>): File[] {
  const way: File[] = []
  for (let at: File | undefined = end; at !== undefined; at = from.get(at)) way.unshift(at)
  return way
}

function depth(file: File, next: (file: File) => File[], known: Map<File, number>): number {
  const found = known.get(file)
  if (found !== undefined) return found
  // Until it is known; there are no circles that this could hide.
  known.set(file, 1)
  const length = 1 + Math.max(0, ...next(file).map((target) => depth(target, next, known)))
  known.set(file, length)
  return length
}

function circleProblem(circle: readonly File[]): Problem {
  const [first] = circle
  const lines = circle.map((file, place) => {
    const next = circle[(place + 1) % circle.length]
    return `  ${nameOf(file)} watches ${next === undefined ? 'itself' : nameOf(next)}`
  })
  return {
    reason: 'circle',
    message: `${circle.length} epolls watch each other in a circle, which the kernel refuses (ELOOP):\n${lines.join('\n')}`,
    ...(first === undefined ? {} : { file: first.id, ...placeOf(first) }),
  }
}

function nameOf(file: File): string {
  const { pid, fd } = placeOf(file)
  return `epoll ${file.id} (process ${pid ?? '-'}, descriptor ${fd ?? '-'})`
}
