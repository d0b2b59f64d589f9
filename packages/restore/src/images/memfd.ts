import type { Folder } from './folder.ts'
import { PAGEMAP } from './format.ts'
import type { ImageFile } from './image-file.ts'
import type { Memfd, PageRun } from './image-set.ts'
import { has, type MemfdInodeEntry, type PagemapEntry, type PagemapHead } from './messages.ts'
import { refuse } from './refusal.ts'
import type { Work } from './slices.ts'

export const PAGE = 4096

/** Flags of a run of pages. */
export const RUN = { parent: 1, lazy: 2, present: 4 } as const

export const pagemapImage = ({ shmid }: MemfdInodeEntry): string => `pagemap-shmem-${shmid}.img`
export const pagesImage = (pagesId: number): string => `pages-${pagesId}.img`

/** A memfd with its content, which is where its pagemap says. */
export function* readMemfd(folder: Folder, inode: MemfdInodeEntry): Work<Memfd> {
  const image = pagemapImage(inode)
  if (!folder.names.has(image)) return { inode, runs: [] }
  const [head, ...rest] = yield* folder.records(image, PAGEMAP)
  if (head === undefined) return refuse('missing-record', image, 'it has no record')
  const { pagesId } = head.message as PagemapHead
  const runs = rest.map(({ message }) => runOf(message as PagemapEntry))
  checkRuns(runs, image)
  return { inode, pagesId, runs: withPages(folder, pagesImage(pagesId), runs) }
}

function runOf(entry: PagemapEntry): PageRun {
  const pages = has(entry, 'nrPages') ? entry.nrPages : BigInt(entry.compatNrPages)
  const flags = has(entry, 'flags') ? entry.flags : entry.inParent ? RUN.parent : RUN.present
  return { at: entry.vaddr, length: pages * BigInt(PAGE), flags }
}

export function checkRuns(runs: readonly PageRun[], image: string): void {
  let end = 0n
  for (const { at, length } of runs) {
    if (at < end || at % BigInt(PAGE) !== 0n || length % BigInt(PAGE) !== 0n) {
      refuse('bad-extent', image, `${length} bytes at ${at} are not in order, or no whole pages`)
    }
    end = at + length
  }
}

// The pages of all runs that are present lie one after another, without a magic number.
function withPages(folder: Folder, image: string, runs: readonly PageRun[]): readonly PageRun[] {
  if (!runs.some(isPresent)) return runs
  const pages = folder.names.has(image) ? folder.open(image) : undefined
  try {
    return runs.map((run) => (isPresent(run) ? { ...run, data: take(folder, pages, image, run) } : run))
  } finally {
    pages?.[Symbol.dispose]()
  }
}

function take(
  { allowance }: Folder,
  pages: ImageFile | undefined,
  image: string,
  { at, length }: PageRun,
): NonNullable<PageRun['data']> {
  if (length > allowance.limits.payload) {
    refuse(
      'payload-too-long',
      image,
      `${length} bytes lie at ${at}, and ${allowance.limits.payload} are allowed`,
    )
  }
  const left = pages?.left ?? 0
  if (pages === undefined || length > left) {
    return refuse(
      'payload-short',
      image,
      `${length} bytes should lie at ${at} of the memory, and ${left} are left`,
    )
  }
  return pages.payload(Number(length), allowance.inline)
}

export const isPresent = ({ flags }: Pick<PageRun, 'flags'>): boolean => (flags & RUN.present) !== 0
