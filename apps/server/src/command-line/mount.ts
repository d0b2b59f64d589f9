import type { Place, Target } from './command-line.ts'
import type { MountSpec } from '../handler.ts'
import { mountName } from '../config/mount-name.ts'
import { targetClient } from './target-client.ts'

/** Mounts a handler. */
export async function runMount(command: { place: Place; spec: MountSpec } & Target): Promise<void> {
  const mount = await targetClient(command).mount({ ...command.place, spec: command.spec })
  const name = mountName(mount.prefix, mount.host)
  process.stdout.write(
    command.json
      ? `${JSON.stringify(mount, null, 2)}\n`
      : `Mounted ${mount.module} on ${name}, generation ${mount.generation}.\n`,
  )
}
