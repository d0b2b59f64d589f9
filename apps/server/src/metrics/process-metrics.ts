import { readFileSync, readdirSync } from 'node:fs'
import type { MetricFamily } from './exposition.ts'

/** What Prometheus' own client libraries tell of a process, under their names; the same from any of its threads. */
export function processMetrics(): MetricFamily[] {
  const { user, system } = process.cpuUsage()
  const gauge = (name: string, help: string, value: number): MetricFamily => ({
    name,
    type: 'gauge',
    help,
    samples: [{ value }],
  })
  return [
    {
      name: 'process_cpu_seconds_total',
      type: 'counter',
      help: 'Processor time of all threads, of the user and the system.',
      samples: [{ value: (user + system) / 1e6 }],
    },
    gauge('process_resident_memory_bytes', 'Memory that is resident.', process.memoryUsage.rss()),
    // The folder that is read is one of them.
    gauge('process_open_fds', 'Open descriptors.', readdirSync('/proc/self/fd').length - 1),
    gauge('process_max_fds', 'Descriptors that may be open (RLIMIT_NOFILE).', mostDescriptors()),
    gauge(
      'process_start_time_seconds',
      'Start of the process since the epoch.',
      Math.round(Date.now() - process.uptime() * 1000) / 1000,
    ),
  ]
}

function mostDescriptors(): number {
  const soft = /^Max open files +(\S+)/mu.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return soft === 'unlimited' ? Infinity : Number(soft)
}
