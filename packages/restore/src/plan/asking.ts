import type { OpenContext } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { Entry } from './entry.ts'
import type { TaskOps } from './task-ops.ts'

/** What a node has of its own while it is asked. */
type Own = Pick<OpenContext, 'file' | 'task' | 'slot' | 'cloexec' | 'ops'>

/** What is the same for all nodes. */
export type Face = Omit<OpenContext, keyof Own>

/** The context of one question. Written out, for there is one for every file: a spread costs ten times as much. */
export class Asking implements OpenContext {
  readonly images: Face['images']
  readonly model: Face['model']
  readonly path: Face['path']
  readonly networkNamespace: Face['networkNamespace']
  readonly once: Face['once']
  readonly warn: Face['warn']
  readonly opsOf: Face['opsOf']
  readonly need: Face['need']
  readonly nodeOf: Face['nodeOf']
  readonly readyOf: Face['readyOf']
  readonly shared: Face['shared']
  readonly slotOf: Face['slotOf']
  readonly afterOpens: Face['afterOpens']
  readonly beforeCommit: Face['beforeCommit']
  readonly afterCommit: Face['afterCommit']
  readonly atLast: Face['atLast']
  readonly file: Own['file']
  readonly task: Own['task']
  readonly slot: Own['slot']
  readonly cloexec: Own['cloexec']
  readonly ops: Own['ops']

  constructor(face: Face, { file, task, slot }: Entry, cloexec: boolean, ops: TaskOps) {
    this.images = face.images
    this.model = face.model
    this.path = face.path
    this.networkNamespace = face.networkNamespace
    this.once = face.once
    this.warn = face.warn
    this.opsOf = face.opsOf
    this.need = face.need
    this.nodeOf = face.nodeOf
    this.readyOf = face.readyOf
    this.shared = face.shared
    this.slotOf = face.slotOf
    this.afterOpens = face.afterOpens
    this.beforeCommit = face.beforeCommit
    this.afterCommit = face.afterCommit
    this.atLast = face.atLast
    // A step that is no file's has none, and does not look.
    this.file = file as File
    this.task = task
    this.slot = slot
    this.cloexec = cloexec
    this.ops = ops
  }
}
