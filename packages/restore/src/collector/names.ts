import { constants, readlinkSync } from 'node:fs'
import { statusOfPath, type FileStatus } from './file-status.ts'

const { S_IFMT, S_IFLNK } = constants

const ownSpace = readlinkSync('/proc/self/ns/mnt')

/** Where the names of a process begin, seen from here: names are those of its mount namespace. */
export function baseOf(pid: number): string {
  if (pid === process.pid) return ''
  return readlinkSync(`/proc/${pid}/ns/mnt`) === ownSpace ? '' : `/proc/${pid}/root`
}

/** Whether a path leads to this file, which is a symbolic link itself or not. */
export function leadsTo(path: string, stats: FileStatus): boolean {
  const there = statusOfPath(path, (stats.mode & S_IFMT) === S_IFLNK)
  return typeof there !== 'number' && there.dev === stats.dev && there.ino === stats.ino
}
