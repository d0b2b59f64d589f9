import { UsageError } from '../errors.ts'

/** What a shell would do something with; here there is no shell. */
const SPECIAL = /[|&;<>()$`*?[\]#~{}!\n]/

/**
 * Splits a command into words as a shell does: by blanks, with quotes and backslashes (POSIX, 2.2). Anything else that
 * means something to a shell is refused where it is not quoted.
 */
export function shellWords(text: string): string[] {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? ''
    if (/[ \t]/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (character === "'" || character === '"') {
      const [quoted, end] = character === "'" ? single(text, at + 1) : double(text, at + 1)
      word = (word ?? '') + quoted
      at = end
    } else if (character === '\\') {
      at++
      if (at === text.length) throw new UsageError(`${text}: a backslash at the end quotes nothing`)
      word = (word ?? '') + (text[at] ?? '')
    } else if (SPECIAL.test(character)) {
      const remedy = `quote it, or execute a shell: sh -c '…'`
      throw new UsageError(
        `${text}: ${JSON.stringify(character)} means something to a shell, and there is none: ${remedy}`,
      )
    } else word = (word ?? '') + character
  }
  if (word !== undefined) words.push(word)
  return words
}

/** What is in quotes that begin before `from`, and where they end. */
function single(text: string, from: number): [string, number] {
  const end = text.indexOf("'", from)
  if (end === -1) throw unterminated(text, "'")
  return [text.slice(from, end), end]
}

function double(text: string, from: number): [string, number] {
  let quoted = ''
  for (let at = from; at < text.length; at++) {
    const character = text[at] ?? ''
    if (character === '"') return [quoted, at]
    if (character === '$' || character === '`') {
      throw new UsageError(
        `${text}: ${character} is expanded by shells only: use single quotes, or sh -c '…'`,
      )
    }
    // In double quotes a backslash quotes only what has a meaning there.
    const isQuoting = character === '\\' && '"\\$`'.includes(text[at + 1] ?? ' ')
    if (isQuoting) at++
    quoted += text[at] ?? ''
  }
  throw unterminated(text, '"')
}

function unterminated(text: string, quote: string): UsageError {
  return new UsageError(`${text}: the quote ${quote} is not closed`)
}
