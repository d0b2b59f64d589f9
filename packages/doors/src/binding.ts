import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The addon. Numbers that are negative are errno values. */
export interface Binding {
  /** Makes an empty memory file an information page, and maps it to be written. */
  makeInfoPage(file: number): ArrayBuffer | number
  /** Maps another process's page. To write to it ends the process. */
  mapInfoPage(file: number): ArrayBuffer | number
  exchange(one: string, other: string): number
  link(descriptor: number, path: string): number
  shutdown(socket: number, how: number): number
  groups(socket: number): Uint32Array | number
}

const load = (): Binding => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const require = createRequire(import.meta.url)
  const built = `${root}native/build/Release/addon.node`
  try {
    return (require('node-gyp-build') as (folder: string) => Binding)(root)
  } catch (cause) {
    if (existsSync(built)) return require(built) as Binding
    throw new Error(
      `@x/doors has no binary for ${process.platform}-${process.arch} (looked in ${root}prebuilds and at ${built}). ` +
        'Build it: npm i node-addon-api && npx -y node-gyp@12 rebuild -C node_modules/@x/doors/native',
      { cause },
    )
  }
}

export const binding: Binding = load()
