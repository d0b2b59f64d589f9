import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { examine } from '../src/index.ts'
import { readImages } from '../src/images/index.ts'
import { notAlone, outcomeOf } from './fixtures/alone.ts'
import { Canonical, text } from './fixtures/canonical.ts'
import { folder } from './fixtures/folder.ts'
import { without } from './fixtures/target.ts'

// Images that collect() has made; what is beside them says of what: see fixtures/inside/own-image.js.
const images = fileURLToPath(new URL('fixtures/images/', import.meta.url))
const names = readdirSync(images).filter((name) => !name.endsWith('.forest'))
const rights = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_DAC_READ_SEARCH')
const elsewhere = process.arch === 'x64' ? '' : ' (left out: flags of files have other numbers here)'
const unable = [elsewhere, rights, notAlone].find((each) => each !== '') ?? ''

/** The files that the processes of the images had; with the sizes and modes that are in these. */
const prepare = (place: string): void => {
  chmodSync(place, 0o755)
  for (const [name, size] of [
    ['file0', 100],
    ['file1', 101],
  ] as const) {
    writeFileSync(`${place}/${name}`, 'a'.repeat(size))
    chmodSync(`${place}/${name}`, 0o640)
  }
  mkdirSync(`${place}/folder0`)
  chmodSync(`${place}/folder0`, 0o755)
  execFileSync('mkfifo', ['-m', '600', `${place}/fifo0`])
}

describe('images that are kept', () => {
  test.each(names)('%s: are planned, with their paths in another place', async (name) => {
    const place = folder()
    prepare(place)
    const { problems, warnings } = examine(await readImages(`${images}${name}`), {
      map: [['/tmp/forest', place]],
      keepPids: false,
      networkNamespace: '/proc/self/ns/net',
    })
    expect(problems).toEqual([])
    expect(warnings).toEqual([])
  })

  test.skipIf(unable !== '').each(names)(`%s: are restored${unable}`, async (name) => {
    const [place, second] = [folder(), folder()]
    prepare(place)
    const seen = outcomeOf('own-image.js', 'restore', `${images}${name}`, place, `${second}/images`)
    expect(seen).toEqual({ warnings: [] })
    const kept = text(Canonical.of(await readImages(`${images}${name}`)))
    const again = text(Canonical.of(await readImages(`${second}/images`))).replaceAll(place, '/tmp/forest')
    expect(JSON.parse(again)).toEqual(JSON.parse(kept))
  })
})
