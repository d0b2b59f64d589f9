import type { MessageInitShape } from '@bufbuild/protobuf'
import type { FownEntrySchema } from '../images/messages.ts'
import { binding } from './binding.ts'

export type Fown = MessageInitShape<typeof FownEntrySchema>

const F_GETSIG = 11
const F_GETOWN_EX = 16
const F_GETOWNER_UIDS = 17

const owner = new Int32Array(2)
const ownerBytes = new Uint8Array(owner.buffer)
const uids = new Uint32Array(2)
const uidBytes = new Uint8Array(uids.buffer)

export const nobody: Fown = { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 }

/** Who is signalled for a file. `number` is not one of O_PATH, which nobody can own. */
export function ownerOf(number: number): Fown {
  const signum = Math.max(binding.control(number, F_GETSIG, 0), 0)
  if (binding.control(number, F_GETOWN_EX, ownerBytes) < 0) return { ...nobody, signum }
  const [pidType = 0, pid = 0] = owner
  if (pid === 0) return signum === 0 ? nobody : { ...nobody, signum }
  uids.fill(0)
  binding.control(number, F_GETOWNER_UIDS, uidBytes)
  const [uid = 0, euid = 0] = uids
  return { uid, euid, signum, pidType, pid }
}
