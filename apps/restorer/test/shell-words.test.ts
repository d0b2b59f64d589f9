import { expect, test } from 'vitest'
import { shellWords } from '../src/command-line/shell-words.ts'
import { UsageError } from '../src/errors.ts'

test.each([
  ['', []],
  ['  cat  -n\t/etc/motd ', ['cat', '-n', '/etc/motd']],
  [`sh -c 'echo "$1"; exit 3' sh`, ['sh', '-c', 'echo "$1"; exit 3', 'sh']],
  [String.raw`a\ b "c \"d\" \\ \n" e'f'"g"`, ['a b', String.raw`c "d" \ \n`, 'efg']],
  [`"" ''`, ['', '']],
  [String.raw`\$HOME \| x=y a:b,c@d%e+f`, ['$HOME', '|', 'x=y', 'a:b,c@d%e+f']],
])('%s', (text, words) => {
  expect(shellWords(text)).toEqual(words)
})

test.each([
  ["'open", "the quote ' is not closed"],
  ['"open', 'the quote " is not closed'],
  ['end\\', 'a backslash at the end quotes nothing'],
  ['a | b', '"|" means something to a shell, and there is none'],
  ['a > b', '">" means something'],
  ['ls *', '"*" means something'],
  ['echo $HOME', '"$" means something'],
  ['echo "$HOME"', '$ is expanded by shells only'],
])('%s is refused: a shell would do something with it', (text, message) => {
  const split = (): unknown => shellWords(text)
  expect(split).toThrow(UsageError)
  expect(split).toThrow(message)
})
