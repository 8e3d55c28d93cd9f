/**
 * A state machine whose state is a hash of every entry it was given: the cheapest one that still
 * reads each entry, and that differs after any lost, repeated, reordered or altered entry. Used by
 * the benchmarks. Runs in the apply thread.
 */
import type { StateMachine } from '../base/state-machine.ts'

export function createHashStateMachine(): StateMachine {
  let hash = 0
  let entries = 0
  return {
    apply(batch) {
      const { bytes } = batch
      let h = hash
      while (batch.next()) {
        const { offset, size } = batch
        // Length, first and last byte of each entry: enough to see order and boundaries; the whole
        // bytes are covered by the frame checksum that the apply stage folds.
        const edge = size === 0 ? 0 : (bytes[offset]! << 8) | bytes[offset + size - 1]!
        h = Math.imul(h ^ (size + Math.imul(edge, 0x85ebca6b)), 0x01000193) ^ (h >>> 15)
      }
      hash = h
      entries += batch.count
    },
    query: () => new TextEncoder().encode(`${String(entries)}:${(hash >>> 0).toString(16)}`),
    snapshot: (sink) => {
      sink.write(Uint8Array.from(Buffer.from(JSON.stringify({ entries, hash }))))
      return Promise.resolve()
    },
    restore: (source) => {
      const text = Buffer.from(source.read() ?? []).toString()
      const saved = JSON.parse(text) as { entries: number; hash: number }
      entries = saved.entries
      hash = saved.hash
      return Promise.resolve()
    },
    hash: () => `${String(entries)}:${(hash >>> 0).toString(16)}`,
  }
}
