/**
 * Who may import whom (ARCHITECTURE.md, "Packages"). A package that is not named for a folder may not be
 * imported there. kevent and http1 never see each other: they meet in a shared array of events.
 */
const allowed = {
  'packages/kevent': [],
  'packages/fdpass': [],
  'packages/mounttable': [],
  'packages/http1': [],
  'packages/doors': ['@x/fdpass', '@x/kevent'],
  'packages/restore': ['@x/fdpass'],
  'apps/server': ['@x/kevent', '@x/fdpass', '@x/mounttable', '@x/doors', '@x/restore', '@x/http1'],
  'apps/restorer': ['@x/fdpass', '@x/doors', '@x/restore', '@x/kevent'],
}

const forbid = (own) =>
  `^@x/(?!(?:${[...own.map((name) => name.slice('@x/'.length)), '__none__'].join('|')})(?:/|$)).*`

export const importTable = Object.entries(allowed).map(([folder, own]) => ({
  files: [`${folder}/src/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: forbid(own),
            message: `${folder} may import ${own.length === 0 ? 'no other package of this repository' : own.join(', ')}: see the import table in ARCHITECTURE.md.`,
          },
          {
            regex: '(^|/)(\\.\\./)+(packages|apps|tooling)/|^@x/[^/]+/(src|dist)/',
            message: 'Import a package by its name and its public face, never by a path into it.',
          },
        ],
      },
    ],
  },
}))
