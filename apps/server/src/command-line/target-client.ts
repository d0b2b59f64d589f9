import type { Target } from './command-line.ts'
import { defaultControlPath, loadConfig } from '../config/config.ts'
import { ControlClient } from '../control/control-client.ts'

/** The server that a command is for: at --control, else at --config's door, else at the user's own. */
export function targetClient({ control, config }: Omit<Target, 'json'>): ControlClient {
  if (control !== undefined) return new ControlClient(control)
  return new ControlClient(config === undefined ? defaultControlPath() : loadConfig(config).control)
}
