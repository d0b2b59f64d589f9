/** Where numbers of cases stand: in the first group of a match, with ", " between them. */
export interface Places {
  /** Of a test's title in test/*.test.ts. */
  readonly title: RegExp
  /** Of the comment before a test of the core, in native/test/*_test.cc. */
  readonly comment: RegExp
}

/**
 * Where names of cases stand, by a pattern of one without groups: at the start of a title, which is the first argument of a
 * call that skips nothing, and of a comment.
 */
export function placesOf(name: string): Places

/** The cases that tests of the package in `root` name; the conformance test itself names none. */
export function claimedCases(root: string, places: Places): Set<string>

export interface Coverage {
  /** Neither tested nor with a reason. */
  readonly missing: string[]
  /** Reasons of cases that have a test, or that there are not, by their names. */
  readonly needless: string[]
}

/** Holds a list of cases against those that are claimed, and prints how many of them have a test, or a reason. */
export function coverageOf(
  cases: readonly string[],
  claimed: ReadonlySet<string>,
  notApplicable: Readonly<Record<string, string>>,
): Coverage
