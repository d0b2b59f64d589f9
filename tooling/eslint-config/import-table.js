import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

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

const root = fileURLToPath(new URL('../..', import.meta.url))

// A folder without a row would be checked by nothing.
for (const kind of ['packages', 'apps']) {
  for (const name of existsSync(resolve(root, kind)) ? readdirSync(resolve(root, kind)) : []) {
    if (!(`${kind}/${name}` in allowed)) {
      throw new Error(
        `${kind}/${name} has no row in tooling/eslint-config/import-table.js: say what it may import`,
      )
    }
  }
}

const nameOf = (specifier) => specifier.split('/').slice(0, 2).join('/')

const leaves = (folder, file, specifier) =>
  relative(resolve(root, folder), resolve(dirname(file), specifier)).split(sep)[0] === '..'

/** Whether a path into a package is one that its package.json exports. */
const isPublic = (specifier) => {
  const name = nameOf(specifier)
  const manifest = resolve(root, 'packages', name.slice('@x/'.length), 'package.json')
  const subpath = `.${specifier.slice(name.length)}`
  if (!existsSync(manifest)) return subpath === './package.json'
  return Object.hasOwn(JSON.parse(readFileSync(manifest, 'utf8')).exports ?? {}, subpath)
}

/** What is wrong with importing `specifier` in `file` of `folder`, or undefined. */
const complaint = (folder, file, specifier, own) => {
  if (specifier.startsWith('.')) {
    return leaves(folder, file, specifier)
      ? `This path leaves ${folder}. Import a package by its name.`
      : undefined
  }
  if (!specifier.startsWith('@x/')) return undefined
  if (specifier !== nameOf(specifier) && !isPublic(specifier)) {
    return `Import ${nameOf(specifier)} by its public face, not by a path into it.`
  }
  if (own === undefined || own.includes(nameOf(specifier))) return undefined
  const said = own.length === 0 ? 'no other package of this repository' : own.join(', ')
  return `${folder} may import ${said}: see the import table in ARCHITECTURE.md.`
}

/** A rule for one folder; `own` undefined means any package, but still by its name. */
const ruleFor = (folder, own) => ({
  meta: { type: 'problem', schema: [] },
  create(context) {
    const check = (node) => {
      if (typeof node?.value !== 'string') return
      const message = complaint(folder, context.filename, node.value, own)
      if (message !== undefined) context.report({ node, message })
    }
    return {
      ImportDeclaration: ({ source }) => check(source),
      ExportNamedDeclaration: ({ source }) => check(source),
      ExportAllDeclaration: ({ source }) => check(source),
      ImportExpression: ({ source }) => check(source),
      TSImportType: ({ source }) => check(source),
    }
  },
})

const block = (files, folder, own) => ({
  files,
  plugins: { repository: { rules: { 'import-table': ruleFor(folder, own) } } },
  rules: { 'repository/import-table': 'error' },
})

// Tests and benchmarks may set a package beside another one, which is how their meeting is tested.
export const importTable = Object.entries(allowed).flatMap(([folder, own]) => [
  block([`${folder}/src/**/*.ts`], folder, own),
  block([`${folder}/{test,bench,examples}/**/*.{ts,js}`], folder, undefined),
])
