/**
 * Groups as a client has them: entries that take effect together, or none of them (R38). One
 * promise stands for all. Caller's thread.
 *
 * Invariant: a group whose last entry was not published has no effect and never will, since only
 * its last frame makes it count; so the last entry's outcome is the group's.
 */
import { ReplicaError } from '../base/errors.ts'
import { entrySizeOf } from '../codec/frame.ts'
import type { Deferred, Proposed } from './proposals.ts'
import type { Settle } from './settle.ts'

export interface GroupLimits {
  readonly groupBytesMax: number
  readonly entriesMax: number
}

/** What waits for all entries of a group. */
export type GroupSettle = Settle<readonly Proposed[]>

/** @throws ReplicaError E_CONFIG_INVALID, E_GROUP_SIZE */
export function checkGroup(payloads: readonly Uint8Array[], limits: GroupLimits): void {
  const { groupBytesMax: maxBytes, entriesMax } = limits
  if (payloads.length === 0) {
    const problems = ['payloads: want at least one']
    throw new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems })
  }
  let sizeBytes = 0
  for (const { length } of payloads) sizeBytes += entrySizeOf(length, true)
  const entries = payloads.length
  if (sizeBytes <= maxBytes && entries <= entriesMax) return
  const message = `a group has at most ${String(maxBytes)} bytes and ${String(entriesMax)} entries`
  throw new ReplicaError('E_GROUP_SIZE', message, { sizeBytes, maxBytes, entries, entriesMax })
}

/** One an entry. Tokens name the end of the group: before it none of its effects is there. */
export function deferredsOf(count: number, all: GroupSettle): Deferred[] {
  const values = new Array<Proposed>(count)
  let left = count
  const onResult = (place: number, value: Proposed): void => {
    values[place] = value
    left -= 1
    if (left > 0) return
    const { token } = values[count - 1]!
    all.resolve(
      values.map(({ index, result, durability }) => ({ index, result, durability, token })),
    )
  }
  return Array.from({ length: count }, (_, place) => ({
    resolve: (value: Proposed) => onResult(place, value),
    reject: place === count - 1 ? all.reject : () => undefined,
    result: null,
  }))
}
