/**
 * What a trace proves to be on the disk: the ranges of segment files that records were written to,
 * and that a sync which succeeded has covered since. A kill leaves the page cache as it is, so
 * reading the files back would not show an acknowledgement that came too early; this does.
 */
import type { LogIndex } from '../../../src/core/ids.ts'
import { inspectWal } from '../../../src/wal/inspect.ts'
import { segmentPath } from '../../../src/wal/segment.ts'
import { openStorage } from '../../../src/wal/storage-fs.ts'
import type { TracedCall } from './strace.ts'

interface Range {
  readonly from: number
  readonly to: number
}

const WRITTEN = /^\d+ +pwritev\(\d+<([^>]+)>, .*, \d+, (\d+)\) = (\d+)$/
const SYNCED = /^\d+ +fdatasync\(\d+<([^>]+)>\) += 0$/

/** By path. An envelope and its frames are two chunks, so entries are written by pwritev alone. */
export function syncedRanges(calls: readonly TracedCall[]): ReadonlyMap<string, Range[]> {
  const written = new Map<string, Range[]>()
  const synced = new Map<string, Range[]>()
  for (const { text } of calls) {
    const [, path, offset, size] = WRITTEN.exec(text) ?? []
    if (path !== undefined) {
      const from = Number(offset)
      written.set(path, [...(written.get(path) ?? []), { from, to: from + Number(size) }])
    }
    const [, file] = SYNCED.exec(text) ?? []
    if (file === undefined) continue
    synced.set(file, [...(synced.get(file) ?? []), ...(written.get(file) ?? [])])
    written.delete(file)
  }
  return synced
}

/** The last index whose record, and all before it, a trace proves to be synced. */
export function lastDurable(dir: string, calls: readonly TracedCall[]): LogIndex {
  const ranges = syncedRanges(calls)
  let last = 0 as LogIndex
  let isBroken = false
  inspectWal(openStorage(), dir, ({ segment, offset, sizeBytes, record }) => {
    if (record.kind !== 'entries') return
    const found = ranges.get(segmentPath(dir, segment)) ?? []
    isBroken ||= !found.some(({ from, to }) => from <= offset && offset + sizeBytes <= to)
    if (!isBroken) last = record.through
  })
  return last
}
