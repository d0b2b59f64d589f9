import type { Place, Target } from './command-line.ts'
import { mountName } from '../config/mount-name.ts'
import { showingDrain } from './drain-progress.ts'
import { targetClient } from './target-client.ts'

/** Unmounts a handler and waits for it to drain. */
export async function runUnmount(
  command: { place: Place; deadline: number | undefined } & Target,
): Promise<void> {
  const { place, deadline } = command
  const client = targetClient(command)
  await showingDrain(client, place, client.unmount(deadline === undefined ? place : { ...place, deadline }))
  const name = mountName(place.prefix, place.host)
  process.stdout.write(command.json ? `${JSON.stringify(place)}\n` : `Unmounted ${name}; it has drained.\n`)
}
