import { Lineage, type Generation } from './generation.ts'
import type { Preparation } from './preparation.ts'

/** A host and a prefix, from its first mount until the last of its generations is gone. */
export class MountPoint<Spec> {
  readonly host: string | undefined
  readonly prefix: string
  readonly lineage: Lineage<Spec> = new Lineage<Spec>()
  /** What lookups find. */
  current: Generation<Spec> | undefined = undefined
  /** What is to become current. */
  preparation: Preparation<Spec> | undefined = undefined

  constructor(host: string | undefined, prefix: string) {
    this.host = host
    this.prefix = prefix
  }

  /** No host has a slash, so no two mount points have the same key. */
  static key(host: string | undefined, prefix: string): string {
    return `${host ?? ''}${prefix}`
  }

  get key(): string {
    return MountPoint.key(this.host, this.prefix)
  }

  get unused(): boolean {
    return this.lineage.generations.size === 0 && this.preparation === undefined
  }
}
