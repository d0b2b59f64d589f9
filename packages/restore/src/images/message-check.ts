import type { DescField, DescMessage, Message } from '@bufbuild/protobuf'
import { FeatureSet_FieldPresence, FieldDescriptorProto_Type } from '@bufbuild/protobuf/wkt'

/** What is wrong with a message. */
export interface Fault {
  readonly reason: 'missing-field' | 'unknown-type' | 'not-text'
  /** `PipeEntry.pipe_id is missing`. */
  readonly message: string
}

interface Member {
  readonly name: string
  readonly field: DescField
  readonly required: boolean
  readonly list: boolean
  readonly text: boolean
  readonly child: readonly Member[] | undefined
}

/** Half of a character, which has no UTF-8. */
const surrogate = /\p{Surrogate}/u

const known = new Map<string, readonly Member[]>()

/** The fields that can be wrong: those that must be there, texts, and messages that have such fields. */
function membersOf(desc: DescMessage): readonly Member[] {
  let members = known.get(desc.typeName)
  if (members === undefined) {
    members = desc.fields.map(memberOf).filter((member) => member !== undefined)
    known.set(desc.typeName, members)
  }
  return members
}

function memberOf(field: DescField): Member | undefined {
  const child = field.message === undefined ? undefined : membersOf(field.message)
  const required = field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED
  const text = field.proto.type === FieldDescriptorProto_Type.STRING
  if (!required && !text && (child === undefined || child.length === 0)) return undefined
  return { name: field.localName, field, required, list: field.fieldKind === 'list', text, child }
}

function faultIn(members: readonly Member[], message: Message): Fault | undefined {
  for (const member of members) {
    const value = Object.hasOwn(message, member.name)
      ? (message as unknown as Record<string, unknown>)[member.name]
      : undefined
    if (value === undefined) {
      if (member.required) return absence(member.field, message)
      continue
    }
    const fault = faultOf(member, value)
    if (fault !== undefined) return fault
  }
  return undefined
}

function faultOf(member: Member, value: unknown): Fault | undefined {
  if (member.text) {
    for (const text of member.list ? (value as string[]) : [value as string]) {
      if (surrogate.test(text)) return { reason: 'not-text', message: `${nameOf(member.field)} is not UTF-8` }
    }
  }
  if (member.child === undefined) return undefined
  if (!member.list) return faultIn(member.child, value as Message)
  for (const child of value as Message[]) {
    const fault = faultIn(member.child, child)
    if (fault !== undefined) return fault
  }
  return undefined
}

export const nameOf = (field: DescField): string => `${field.parent.name}.${field.name}`

/** Why a required field is not there. A value that an enum does not have is kept beside the fields that are known. */
export function absence(field: DescField, message: Message): Fault {
  return message.$unknown?.some(({ no }) => no === field.number)
    ? { reason: 'unknown-type', message: `${nameOf(field)} has a value that is not known` }
    : { reason: 'missing-field', message: `${nameOf(field)} is missing` }
}

/** What keeps a message from being written: a required field that is absent, or a text that has no UTF-8. */
export function findFault(desc: DescMessage, message: Message): Fault | undefined {
  return faultIn(membersOf(desc), message)
}
