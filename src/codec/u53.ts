/**
 * 64-bit integers of the formats: two u32, low half first, never a BigInt. Invariant: each is in
 * 0 .. 2^53 - 1, hence exact as a number. Pure; runs in any thread.
 */
import { assert } from '../base/assert.ts'

const HIGH_LIMIT = 0x200000 // 2^53 / 2^32
const WORD = 0x1_0000_0000

export function writeU53(view: DataView, offset: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a 64-bit field stays within 2^53 - 1')
  view.setUint32(offset, value % WORD, true)
  view.setUint32(offset + 4, Math.floor(value / WORD), true)
}

/** @returns -1 for a number beyond 2^53 - 1 */
export function readU53(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true)
  return high < HIGH_LIMIT ? high * WORD + view.getUint32(offset, true) : -1
}
