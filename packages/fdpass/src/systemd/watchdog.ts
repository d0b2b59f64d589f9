import { checkFields } from '../options.ts'
import {
  checkUnset,
  integerVariable,
  namesThisProcess,
  unsetVariables,
  type UnsetOptions,
} from './environment.ts'

const SYSCALL = 'watchdog'
/** One less than USEC_INFINITY */
const MOST = 0xfffffffffffffffen

/**
 * The milliseconds within which the service manager wants to hear `notify({ watchdog: true })` each time
 * (sd_watchdog_enabled(3)); half of them are a good interval. Undefined when it does not watch this process. Throws
 * FdPassError EINVAL when $WATCHDOG_USEC or $WATCHDOG_PID are malformed; nothing has changed then.
 */
export function watchdog(options: UnsetOptions = {}): number | undefined {
  checkFields(options, ['unset'], SYSCALL)
  const unset = checkUnset(options, false, SYSCALL)
  const microseconds = integerVariable('WATCHDOG_USEC', 1n, MOST, SYSCALL)
  const watched = microseconds !== undefined && namesThisProcess('WATCHDOG_PID', SYSCALL) !== false
  if (unset) unsetVariables(['WATCHDOG_USEC', 'WATCHDOG_PID'])
  return watched ? Number(microseconds) / 1000 : undefined
}
