/**
 * Cells by which reads travel (see cells.ts for the others): questions from the client side to the
 * state machine, the index they wait for by way of decide, answers back.
 *
 *     word           0        1       2     3        4      5       6        7
 *     QUERIES        270      id      size  queries  -      offset  end      index
 *     READ_ASKED     271      id      mode  bound
 *     READ_AT        272      id      index lease
 *     READ_REFUSED   273      id      reason
 *     ANSWERS        274      id      size  answers  -      offset  end      index   reason
 *
 * An id stands for a batch of queries. In QUERIES `index` is -1 while a READ_AT must bring it.
 * `lease` is the life of the lease that must still be valid behind the value, 0: none. ANSWERS
 * come in pieces; `reason` 0 means that the queries were asked. Bytes of both lie in log rings, an
 * item each: u32 size, u32 0 or a reason, f64 place in the batch, bytes padded to 8.
 */
import type { ReadMode, ReadRefusal } from '../core/engine.ts'

export const QUERIES = 270
export const READ_ASKED = 271
export const READ_AT = 272
export const READ_REFUSED = 273
export const ANSWERS = 274

/** As numbers: the position in the list. */
export const READ_MODES: readonly ReadMode[] = ['linearizable', 'lease', 'stale']

export type ReadFailure =
  | ReadRefusal
  | 'lease-lost' // it was no longer valid when the value had been read
  | 'no-query' // the state machine has none
  | 'query-threw'
  | 'answer-size' // an answer no ring could take

/** As numbers: the position in the list; 0 is none. */
export const READ_FAILURES: readonly ReadFailure[] = [
  'not-available',
  'no-leader',
  'late',
  'too-stale',
  'no-state',
  'overloaded',
  'lease-lost',
  'no-query',
  'query-threw',
  'answer-size',
]
export const codeOfFailure = (failure: ReadFailure): number => READ_FAILURES.indexOf(failure) + 1
export const failureOfCode = (code: number): ReadFailure | null => READ_FAILURES[code - 1] ?? null

/** A size that says: no question, only wait for the index (a `sync`). */
export const NO_QUESTION = 0xffff_ffff

export const ITEM_HEADER_SIZE_BYTES = 16
export const itemSizeOf = (sizeBytes: number): number =>
  ITEM_HEADER_SIZE_BYTES + Math.ceil(sizeBytes / 8) * 8

/** Bytes of one batch of queries, or of one piece of answers. */
export const PIECE_SIZE_MAX_BYTES = 1024 * 1024
/** Of one answer. */
export const ANSWER_SIZE_MAX_BYTES = 2 * 1024 * 1024

export interface Bytes {
  readonly bytes: Uint8Array
  readonly view: DataView
}

/** @returns the offset behind the item */
export function writeItem(
  { bytes, view }: Bytes,
  at: number,
  item: { readonly place: number; readonly code: number; readonly bytes: Uint8Array | null },
): number {
  view.setUint32(at, item.bytes === null ? NO_QUESTION : item.bytes.length, true)
  view.setUint32(at + 4, item.code, true)
  view.setFloat64(at + 8, item.place, true)
  if (item.bytes !== null) bytes.set(item.bytes, at + ITEM_HEADER_SIZE_BYTES)
  return at + itemSizeOf(item.bytes?.length ?? 0)
}

/** Calls `take` for each item with a copy of its bytes. */
export function readItems(
  { bytes, view }: Bytes,
  offset: number,
  count: number,
  take: (place: number, code: number, copy: Uint8Array | null) => void,
): void {
  let at = offset
  for (let i = 0; i < count; i++) {
    const size = view.getUint32(at, true)
    const isQuestion = size !== NO_QUESTION
    const from = at + ITEM_HEADER_SIZE_BYTES
    const copy = isQuestion ? bytes.slice(from, from + size) : null
    take(view.getFloat64(at + 8, true), view.getUint32(at + 4, true), copy)
    at += itemSizeOf(isQuestion ? size : 0)
  }
}
