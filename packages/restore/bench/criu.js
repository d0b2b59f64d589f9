/**
 * What CRIU needed for trees of these shapes, in ms: `rootPrep` collects the files, `fdSpan` is from the start of the
 * first process's prepare_fds to the end of the last one's. Medians of 5 or 3 runs of `criu restore -d -v1`, CRIU 4.2
 * (commit 2cf8f13ca), on two CPUs of an AMD EPYC with Linux 6.18, by its own log with times. What it needs besides, for
 * memory and its own start, is not in here.
 */
export const criu = {
  many10: { rootPrep: 0.1, fdSpan: 0.06 },
  many1000: { rootPrep: 0.37, fdSpan: 3.5 },
  many10000: { rootPrep: 7.7, fdSpan: 34.7 },
  null1: { rootPrep: 0.12, fdSpan: 0.01 },
  null10000: { rootPrep: 7.5, fdSpan: 36.1 },
  pipes1000: { rootPrep: 1.4, fdSpan: 5.6 },
  unix1000: { rootPrep: 0.45, fdSpan: 8.4 },
  unix10000: { rootPrep: 9.3, fdSpan: 87.3 },
  epoll1000: { rootPrep: 0.8, fdSpan: 3.8 },
  procs10: { rootPrep: 0.5, fdSpan: 3.8 },
  procs100: { rootPrep: 3.1, fdSpan: 73 },
  shared100x10: { rootPrep: 0.6, fdSpan: 12.8 },
  shared300x10: { rootPrep: 1.1, fdSpan: 48 },
  shared1000x10: { rootPrep: 3, fdSpan: 331 },
  shared3000x10: { rootPrep: 11, fdSpan: 3000 },
  shared100x100: { rootPrep: 7.4, fdSpan: 365 },
}
