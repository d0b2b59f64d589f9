import type { Place, Target } from './command-line.ts'
import type { MountSpec } from '../handler.ts'
import { mountName } from '../config/mount-name.ts'
import { showingDrain } from './drain-progress.ts'
import { targetClient } from './target-client.ts'

/** Replaces a mounted handler and waits for the old one to drain. */
export async function runReplace(
  command: { place: Place; spec: MountSpec; deadline: number | undefined } & Target,
): Promise<void> {
  const { place, spec, deadline } = command
  const client = targetClient(command)
  const request = deadline === undefined ? { ...place, spec } : { ...place, spec, deadline }
  const mount = await showingDrain(client, place, client.replace(request))
  const name = mountName(mount.prefix, mount.host)
  process.stdout.write(
    command.json
      ? `${JSON.stringify(mount, null, 2)}\n`
      : `Replaced ${name} by ${mount.module}, generation ${mount.generation}; the old one has drained.\n`,
  )
}
