/**
 * A membership <-> bytes: the one entry of a frame of kind `config`, and what a segment's head
 * keeps of a log that was trimmed. Ruler:
 *
 *     0    1      2        3       4        6      8                             8 + 8 x count
 *     +----+------+--------+-------+--------+------+----------------------------+-------- ...
 *     | v1 | count| prepare| accept| highest| zero | id  role weight forced     | next member
 *     | u8 | u8   | quorum | quorum| id u16 | u16  | u16 u8   u8     u8         |
 *     |    |      | u8     | u8    |        |      | promote u8, source u16     |
 *     +----+------+--------+-------+--------+------+----------------------------+-------- ...
 *
 * Version 2 is of a cluster whose history was forked (docs/disaster.md): between the head and the
 * members it has eight bytes more, the history epoch as u32, not 0, and a u32 that is zero.
 *
 * Invariants: one membership has one encoding; what decode accepts is a membership that the rules
 * of core/membership.ts accept (`problemOf`, handed in: the codec knows the core's types only).
 * Pure; runs in any thread.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import type { Member, MemberRole } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import type { Membership } from '../core/membership.ts'
import { FRAME_HEADER_SIZE_BYTES, type FrameHeader } from './frame.ts'

/** What is wrong with a membership, null when it is valid: membershipProblem. */
export type ProblemOf = (membership: Membership) => string | null

const VERSION = 1
const VERSION_FORKED = 2
const HEAD_SIZE_BYTES = 8
const FORK_SIZE_BYTES = 8
const MEMBER_SIZE_BYTES = 8
const COUNT_MAX = 32
const ENTRY_LENGTH_SIZE_BYTES = 4
/** Of the greatest membership. */
export const MEMBERSHIP_SIZE_MAX_BYTES =
  HEAD_SIZE_BYTES + FORK_SIZE_BYTES + COUNT_MAX * MEMBER_SIZE_BYTES

/** By code; the place in the list is the code, so the order never changes. */
const ROLES: readonly MemberRole[] = ['voter', 'logger', 'learner']
const FORCED: readonly Member['forced'][] = [undefined, 'armed', 'degraded']
const PROMOTE: readonly Member['promote'][] = [undefined, 'voter', 'logger']

export function encodeMembership(membership: Membership): Uint8Array {
  const { members, prepareQuorum, acceptQuorum, highestId, historyEpoch = 0 } = membership
  assert(members.length <= COUNT_MAX, 'a membership has at most 32 members')
  const version = historyEpoch === 0 ? VERSION : VERSION_FORKED
  const bytes = new Uint8Array(sizeOf(version, members.length))
  const view = new DataView(bytes.buffer)
  bytes.set([version, members.length, prepareQuorum, acceptQuorum])
  view.setUint16(4, highestId, true)
  if (historyEpoch !== 0) view.setUint32(HEAD_SIZE_BYTES, historyEpoch, true)
  let at = sizeOf(version, 0)
  for (const { id, role, weight, forced, promote, source = 0 } of members) {
    view.setUint16(at, id, true)
    const codes = [ROLES.indexOf(role), weight, FORCED.indexOf(forced), PROMOTE.indexOf(promote)]
    bytes.set(codes, at + 2)
    view.setUint16(at + 6, source, true)
    at += MEMBER_SIZE_BYTES
  }
  return bytes
}

/** @throws ReplicaError E_FRAME_INVALID, and nothing else, whatever the bytes are */
export function decodeMembership(bytes: Uint8Array, problemOf: ProblemOf): Membership {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length < HEAD_SIZE_BYTES) refuse('size', 'is cut short')
  const [version = 0, count = 0] = bytes
  const isKnown = version === VERSION || version === VERSION_FORKED
  if (!isKnown) refuse('version', `${String(version)}: want ${VERSION} or ${VERSION_FORKED}`)
  const size = sizeOf(version, count)
  if (bytes.length !== size) refuse('size', `${String(bytes.length)}: want ${String(size)}`)
  if (view.getUint16(6, true) !== 0) refuse('reserved', 'is not zero')
  const historyEpoch = version === VERSION ? 0 : historyEpochAt(view)
  const members: Member[] = []
  for (let at = sizeOf(version, 0); at < size; at += MEMBER_SIZE_BYTES)
    members.push(memberAt(view, at))
  const membership = {
    members,
    prepareQuorum: view.getUint8(2),
    acceptQuorum: view.getUint8(3),
    highestId: view.getUint16(4, true) as NodeId,
    ...(historyEpoch !== 0 && { historyEpoch }),
  }
  const problem = problemOf(membership)
  return problem === null ? membership : refuse('membership', problem)
}

const sizeOf = (version: number, count: number): number =>
  HEAD_SIZE_BYTES + (version === VERSION ? 0 : FORK_SIZE_BYTES) + count * MEMBER_SIZE_BYTES

/** Version 1 says 0, so that one membership has one encoding. */
function historyEpochAt(view: DataView): number {
  const epoch = view.getUint32(HEAD_SIZE_BYTES, true)
  if (epoch === 0) refuse('historyEpoch', 'is zero')
  if (view.getUint32(HEAD_SIZE_BYTES + 4, true) !== 0) refuse('reserved', 'is not zero')
  return epoch
}

/**
 * What the one entry of a config frame says; the header was read and checked before.
 * @returns a view of `bytes`
 * @throws ReplicaError E_FRAME_INVALID when the body is not one entry
 */
export function configBytesOf(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  { bodySizeBytes, count, flags }: Readonly<FrameHeader>,
): Uint8Array {
  const at = offset + FRAME_HEADER_SIZE_BYTES
  const size = view.getUint32(at, true)
  const isOne = count === 1 && flags === 0 && ENTRY_LENGTH_SIZE_BYTES + size <= bodySizeBytes
  if (!isOne || size > MEMBERSHIP_SIZE_MAX_BYTES) refuse('body', 'is not one entry')
  return bytes.subarray(at + ENTRY_LENGTH_SIZE_BYTES, at + ENTRY_LENGTH_SIZE_BYTES + size)
}

function memberAt(view: DataView, at: number): Member {
  const forced = known('forced', FORCED, view.getUint8(at + 4))
  const promote = known('promote', PROMOTE, view.getUint8(at + 5))
  const source = view.getUint16(at + 6, true) as NodeId | 0
  return {
    id: view.getUint16(at, true) as NodeId,
    role: known('role', ROLES, view.getUint8(at + 2)),
    weight: view.getUint8(at + 3),
    ...(forced && { forced }),
    ...(source && { source }),
    ...(promote && { promote }),
  }
}

function known<Value>(field: string, values: readonly Value[], code: number): Value {
  if (code >= values.length) refuse(field, `${String(code)}: no such code`)
  return values[code]!
}

function refuse(field: string, problem: string): never {
  throw new ReplicaError('E_FRAME_INVALID', `config batch: ${field}: ${problem}`, {
    field,
    problem,
  })
}
