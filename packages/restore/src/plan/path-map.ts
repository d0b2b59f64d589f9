/** A function that says where a path of the image is now: by the longest old name that is a part of it. */
export function pathMap(pairs: Iterable<readonly [string, string]>): (name: string) => string {
  const trimmed = [...pairs].map(([old, now]) => [trim(old), trim(now)] as const)
  const ordered = trimmed.sort(([one], [other]) => other.length - one.length)
  return (name) => {
    const found = ordered.find(([old]) => name === old || name.startsWith(`${old}/`))
    return found === undefined ? name : found[1] + name.slice(found[0].length) || '/'
  }
}

function trim(path: string): string {
  return path.replace(/\/+$/, '')
}
