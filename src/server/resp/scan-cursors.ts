/**
 * Cursors of SCAN: numbers that stand for the key behind which a scan goes on. Bounded: the oldest
 * goes, and its scan has to begin again.
 *
 * Invariant: a number is used once, so a cursor never means another place.
 */

export interface ScanCursors {
  open(from: Uint8Array): string
  /** Null: no such cursor, or not any more. */
  find(cursor: string): Uint8Array | null
}

const CURSORS_MAX = 1_024

export function createScanCursors(): ScanCursors {
  const places = new Map<string, Uint8Array>()
  let next = 1
  return {
    open(from) {
      const [oldest] = places.keys()
      if (places.size >= CURSORS_MAX && oldest !== undefined) places.delete(oldest)
      const cursor = String(next++)
      places.set(cursor, Uint8Array.from(from))
      return cursor
    },
    find: (cursor) => places.get(cursor) ?? null,
  }
}
