export { default } from '@x/eslint-config'
