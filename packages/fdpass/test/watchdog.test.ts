import { describe, expect, test } from 'vitest'
import { FdPassError, watchdog } from '../src/index.ts'
import { setVariables, variablesSet } from './fixtures/variables.ts'

describe('watchdog', () => {
  const own = String(process.pid)

  test.each([
    ['not set', {}, undefined],
    ['without a pid', { WATCHDOG_USEC: '30000000' }, 30_000],
    ['for this process', { WATCHDOG_USEC: '1500', WATCHDOG_PID: own }, 1.5],
    ['for another', { WATCHDOG_USEC: '1500', WATCHDOG_PID: '1' }, undefined],
    ['a pid alone', { WATCHDOG_PID: 'x' }, undefined],
  ])('%s', (_, variables, milliseconds) => {
    setVariables({ WATCHDOG_USEC: undefined, WATCHDOG_PID: undefined })
    setVariables(variables)
    expect(watchdog()).toBe(milliseconds)
    expect(variablesSet('WATCHDOG_USEC', 'WATCHDOG_PID')).toEqual(Object.keys(variables))
    expect(watchdog({ unset: true })).toBe(milliseconds)
    expect(variablesSet('WATCHDOG_USEC', 'WATCHDOG_PID')).toEqual([])
  })

  test.each([
    { WATCHDOG_USEC: '' },
    { WATCHDOG_USEC: '0' },
    { WATCHDOG_USEC: '1s' },
    { WATCHDOG_USEC: '18446744073709551615' },
    { WATCHDOG_USEC: '1000', WATCHDOG_PID: '' },
    { WATCHDOG_USEC: '1000', WATCHDOG_PID: '-1' },
  ])('malformed: EINVAL, and the variables stay: %j', (variables) => {
    setVariables({ WATCHDOG_USEC: undefined, WATCHDOG_PID: undefined })
    setVariables(variables)
    expect(() => watchdog({ unset: true })).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    expect(variablesSet('WATCHDOG_USEC', 'WATCHDOG_PID')).toEqual(Object.keys(variables))
    expect(() => watchdog({ unset: 'yes' } as never)).toThrow(FdPassError)
  })
})
