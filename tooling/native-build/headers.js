import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * The folder whose `include/node` holds the headers of the running Node, or undefined. Debian, NodeSource
 * and the official archives all ship them; with them a build downloads nothing.
 */
export function headersPrefix() {
  const prefix = dirname(dirname(process.execPath))
  const candidates = [process.env.npm_config_nodedir, prefix, '/usr', '/usr/local']
  return candidates.find((folder) => folder && existsSync(join(folder, 'include/node/node_api.h')))
}
