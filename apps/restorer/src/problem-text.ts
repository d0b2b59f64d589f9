import type { Problem } from '@x/restore'

/** A problem for a person: where it is, what it is and what to do, and the word for it. */
export function problemText({ image, message, reason, pid, fd }: Problem): string {
  const place = [
    image,
    // Most sentences say it themselves.
    pid === undefined || message.includes(`process ${pid}`) ? undefined : `process ${pid}`,
    fd === undefined || message.includes(`descriptor ${fd}`) ? undefined : `descriptor ${fd}`,
  ].filter((part) => part !== undefined)
  return `${place.length === 0 ? '' : `${place.join(', ')}: `}${message} (${reason})`
}

/** All of them, each as an error of this program. */
export function printProblems(problems: readonly Problem[], kind: 'error' | 'warning' = 'error'): void {
  const prefix = kind === 'error' ? 'restorer: ' : 'restorer: warning: '
  for (const problem of problems) {
    const text = problemText(problem).replaceAll('\n', `\n${' '.repeat('restorer: '.length)}`)
    process.stderr.write(`${prefix}${text}\n`)
  }
}
