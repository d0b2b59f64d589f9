import type { DescField, DescMessage, Message } from '@bufbuild/protobuf'
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt'

/** What is wrong with a message that could be read. */
export interface Fault {
  readonly reason: 'missing-field' | 'unknown-type'
  /** `PipeEntry.pipe_id is missing`. */
  readonly message: string
}

interface Member {
  readonly name: string
  readonly number: number
  readonly required: boolean
  readonly list: boolean
  readonly child: readonly Member[] | undefined
  readonly field: DescField
}

const known = new Map<string, readonly Member[]>()

/** The fields that can be wrong: those that must be there, and those that are messages in which some must be. */
function membersOf(desc: DescMessage): readonly Member[] {
  let members = known.get(desc.typeName)
  if (members === undefined) {
    members = desc.fields.flatMap((field) => {
      const child = field.message === undefined ? undefined : membersOf(field.message)
      const required = field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED
      if (!required && (child === undefined || child.length === 0)) return []
      const list = field.fieldKind === 'list'
      return [{ name: field.localName, number: field.number, required, list, child, field }]
    })
    known.set(desc.typeName, members)
  }
  return members
}

function faultIn(members: readonly Member[], message: Message): Fault | undefined {
  for (const member of members) {
    const value = Object.hasOwn(message, member.name)
      ? (message as unknown as Record<string, unknown>)[member.name]
      : undefined
    if (value === undefined) {
      if (member.required) return faultOf(member, message)
      continue
    }
    if (member.child === undefined) continue
    for (const child of member.list ? (value as Message[]) : [value as Message]) {
      const fault = faultIn(member.child, child)
      if (fault !== undefined) return fault
    }
  }
  return undefined
}

// A value that an enum does not have is kept beside the fields that are known.
function faultOf({ field, number }: Member, message: Message): Fault {
  const name = `${field.parent.name}.${field.name}`
  return message.$unknown?.some(({ no }) => no === number)
    ? { reason: 'unknown-type', message: `${name} has a value that is not known` }
    : { reason: 'missing-field', message: `${name} is missing` }
}

/** The first required field that a message lacks, those of the messages in it included. */
export function findFault(desc: DescMessage, message: Message): Fault | undefined {
  return faultIn(membersOf(desc), message)
}
