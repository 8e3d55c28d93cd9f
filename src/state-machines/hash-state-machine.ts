/**
 * A state machine whose state is a hash of every entry it was given: the cheapest one that still
 * reads each entry, and that differs after any lost, repeated, reordered or altered entry. Used by
 * the benchmarks. Runs in the apply thread.
 */
import { assert } from '../base/assert.ts'
import type { StateMachine } from '../base/state-machine.ts'

const LENGTH_SIZE_BYTES = 4

export function createHashStateMachine(): StateMachine {
  let hash = 0
  let entries = 0
  return {
    apply(batch) {
      const { bytes, words, body, end, lead } = batch
      let h = hash
      let size = -1
      let stride = 0
      let at = body + lead
      while (at < end) {
        const length = words[at >> 2]!
        // Entries of one size are the rule: the guess lets the CPU go on before it has read one.
        if (length !== size) {
          size = length
          stride = lead + LENGTH_SIZE_BYTES + ((size + 3) & -4)
        }
        // Length, first and last byte of each entry: enough to see order and boundaries; the whole
        // bytes are covered by the frame checksum that the apply stage folds.
        const first = at + LENGTH_SIZE_BYTES
        const edge = size === 0 ? 0 : (bytes[first]! << 8) | bytes[first + size - 1]!
        h = Math.imul(h ^ (size + Math.imul(edge, 0x85ebca6b)), 0x01000193) ^ (h >>> 15)
        at += stride
      }
      assert(at - lead === end, 'the body of a frame is whole entries')
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
