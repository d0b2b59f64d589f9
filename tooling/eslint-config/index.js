import js from '@eslint/js'
import globals from 'globals'
import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'
import { importTable } from './import-table.js'

export default defineConfig(
  {
    ignores: [
      '**/dist',
      '**/build',
      '**/prebuilds',
      '**/coverage',
      '**/reports',
      '**/.turbo',
      '**/generated',
    ],
  },
  js.configs.recommended,
  { languageOptions: { globals: globals.nodeBuiltin } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['*.config.ts'] } } },
    rules: {
      // Numbers in messages are what errors of system calls are made of.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/consistent-type-definitions': ['error', 'interface'],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // It asks for the `!` that strictTypeChecked refuses.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      // Taking a property out of an object is what a rest pattern is for.
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      'no-console': 'error',
    },
  },
  {
    // A test may say `!` where the line before it has just asserted, and await what it wants to see settle.
    files: ['**/test/**/*.ts', '**/bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      'no-console': 'off',
    },
  },
  ...importTable,
)
