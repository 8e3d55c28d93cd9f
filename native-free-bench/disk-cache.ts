/** What is known of a disk's write cache: one that is volatile may lose what it called synced. */
export const DISK_CACHES = ['volatile', 'not volatile', 'unknown'] as const
export type DiskCache = (typeof DISK_CACHES)[number]
