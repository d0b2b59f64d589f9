import type { Problem } from '../errors.ts'
import type { ImageSet } from '../images/index.ts'
import type { Situation } from '../kinds/kind.ts'
import type { Model } from '../model/model.ts'
import { pathMap } from './path-map.ts'

interface Known {
  readonly images: ImageSet
  readonly model: Model
  readonly map: Iterable<readonly [string, string]> | undefined
  readonly networkNamespace: string | undefined
  /** Where warnings go. */
  readonly warnings: Problem[]
}

export function situationOf({ images, model, map = [], networkNamespace, warnings }: Known): Situation {
  const made = new Map<string, unknown>()
  return {
    images,
    model,
    path: pathMap(map),
    networkNamespace,
    once: <T>(name: string, make: () => T) => {
      if (!made.has(name)) made.set(name, make())
      return made.get(name) as T
    },
    warn: (problem) => {
      warnings.push(problem)
    },
  }
}
