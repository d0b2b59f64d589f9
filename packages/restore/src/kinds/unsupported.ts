import { FdType } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { FileKind } from './kind.ts'
import { placeOf } from './named.ts'

/** Kinds that are known, and cannot be restored for a reason that people should be told. */
export const unsupportedKinds: readonly FileKind[] = [
  refusing('external file', FdType.EXT, ({ id }) => {
    return `file ${id} was dumped by a plug-in of CRIU, and only that knows what it was: give a kind of your own for it`
  }),
  refusing('BPF map', FdType.BPFMAP, ({ id }) => {
    return `file ${id} is a BPF map, and what was in it is in images that are not read`
  }),
]

function refusing(name: string, type: FdType, reason: (file: File) => string): FileKind {
  return {
    name,
    types: [type],
    describe: () => name,
    check: (file) => [
      {
        reason: 'unsupported',
        message: reason(file),
        image: 'files.img',
        file: file.id,
        ...placeOf(file),
      },
    ],
    open: () => ({ status: -1 }),
  }
}
