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
const HEAD_SIZE_BYTES = 8
const MEMBER_SIZE_BYTES = 8
const COUNT_MAX = 32
const ENTRY_LENGTH_SIZE_BYTES = 4
/** Of the greatest membership. */
export const MEMBERSHIP_SIZE_MAX_BYTES = HEAD_SIZE_BYTES + COUNT_MAX * MEMBER_SIZE_BYTES

/** By code; the place in the list is the code, so the order never changes. */
const ROLES: readonly MemberRole[] = ['voter', 'logger', 'learner']
const FORCED: readonly Member['forced'][] = [undefined, 'armed', 'degraded']
const PROMOTE: readonly Member['promote'][] = [undefined, 'voter', 'logger']

export function encodeMembership(membership: Membership): Uint8Array {
  const { members, prepareQuorum, acceptQuorum, highestId } = membership
  assert(members.length <= COUNT_MAX, 'a membership has at most 32 members')
  const bytes = new Uint8Array(HEAD_SIZE_BYTES + members.length * MEMBER_SIZE_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set([VERSION, members.length, prepareQuorum, acceptQuorum])
  view.setUint16(4, highestId, true)
  let at = HEAD_SIZE_BYTES
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
  const [version, count = 0] = bytes
  if (version !== VERSION) refuse('version', `${String(version)}: want ${String(VERSION)}`)
  const size = HEAD_SIZE_BYTES + count * MEMBER_SIZE_BYTES
  if (bytes.length !== size) refuse('size', `${String(bytes.length)}: want ${String(size)}`)
  if (view.getUint16(6, true) !== 0) refuse('reserved', 'is not zero')
  const members: Member[] = []
  for (let at = HEAD_SIZE_BYTES; at < size; at += MEMBER_SIZE_BYTES)
    members.push(memberAt(view, at))
  const membership = {
    members,
    prepareQuorum: view.getUint8(2),
    acceptQuorum: view.getUint8(3),
    highestId: view.getUint16(4, true) as NodeId,
  }
  const problem = problemOf(membership)
  return problem === null ? membership : refuse('membership', problem)
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
