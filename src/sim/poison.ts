/**
 * Bytes of log rings are poisoned as soon as decide lets go of them: who still reads them reads
 * nonsense, at once and each time, instead of what another frame has overwritten now and then.
 */
import { type LogRing, UNIT_SIZE_BYTES } from '../ring/log-ring.ts'

const POISON = 0xdb

/** @returns poisons what was released since the last call */
export function createPoison(rings: readonly LogRing[]): () => void {
  const seen = rings.map(({ released }) => released)
  return () => {
    for (let place = 0; place < rings.length; place++) {
      const ring = rings[place]!
      const from = seen[place]!
      if (ring.released === from) continue
      seen[place] = ring.released
      wipe(ring, from, (ring.released - from) | 0)
    }
  }
}

function wipe({ bytes, mask, capacityUnits }: LogRing, from: number, units: number): void {
  const at = from & mask
  const first = Math.min(units, capacityUnits - at)
  bytes.fill(POISON, at * UNIT_SIZE_BYTES, (at + first) * UNIT_SIZE_BYTES)
  bytes.fill(POISON, 0, (units - first) * UNIT_SIZE_BYTES)
}
