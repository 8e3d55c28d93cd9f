/** What a result says of the machine that it was measured on. Types, and what they may be. */

/** What is known of a disk's write cache: one that is volatile may lose what it called synced. */
export const DISK_CACHES = ['volatile', 'not volatile', 'unknown'] as const
export type DiskCache = (typeof DISK_CACHES)[number]

export interface Environment {
  readonly commit: string
  readonly dirty: boolean
  readonly node: string
  readonly cpuModel: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly filesystem: string
  /** Of the disk under it: whether a power cut loses what was written and not synced. */
  readonly diskCache: DiskCache
  readonly startedAt: string
}
