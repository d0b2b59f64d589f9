import { checkHost } from './host.ts'
import { canonicalPrefix } from './path.ts'

/** Where something is mounted, in canonical form. */
export interface Place {
  readonly host: string | undefined
  readonly prefix: string
}

/** @throws MountTableError ERR_MOUNT_HOST, ERR_MOUNT_PREFIX and its kin */
export function placeOf(syscall: string, prefix: string, host: string | undefined): Place {
  return {
    prefix: canonicalPrefix(syscall, prefix) || '/',
    host: host === undefined ? undefined : checkHost(syscall, host),
  }
}

/** What a person reads for it. */
export const label = ({ host, prefix }: Place): string => `${host ?? ''}${prefix}`
