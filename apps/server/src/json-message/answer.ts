import * as v from 'valibot'
import { ControlError } from '../errors.ts'
import { decode, encode } from './json-message.ts'

const refusalSchema = v.object({ error: v.object({ code: v.string(), message: v.string() }) })

/** The answer to what is not done. */
export const refusal = (code: string, message: string): Buffer => encode({ error: { code, message } })

/**
 * What an answer says.
 * @throws {ControlError} with the code of a refusal; ERR_CONTROL_PROTOCOL, with the sentence `otherwise`, for what is no
 * such answer.
 */
export function answerOf<T>(
  data: Buffer,
  schema: v.GenericSchema<unknown, T>,
  otherwise: string,
): { json: T; bytes: Buffer } {
  const message = decode(data)
  const refused = v.safeParse(refusalSchema, message?.json)
  if (refused.success) throw new ControlError(refused.output.error.code, refused.output.error.message)
  const parsed = v.safeParse(schema, message?.json)
  if (message === undefined || !parsed.success) throw new ControlError('ERR_CONTROL_PROTOCOL', otherwise)
  return { json: parsed.output, bytes: message.bytes }
}
