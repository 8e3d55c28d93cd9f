import { expect, test } from 'vitest'
import { isReplicaError } from '../../src/base/errors.ts'
import {
  MEMBERSHIP_SIZE_MAX_BYTES,
  decodeMembership,
  encodeMembership,
} from '../../src/codec/membership.ts'
import type { Member } from '../../src/core/engine.ts'
import type { NodeId } from '../../src/core/ids.ts'
import {
  MEMBERS_MAX,
  type Membership,
  membershipOf,
  membershipProblem,
} from '../../src/core/membership.ts'
import { randomOf } from '../../src/sim/memory-storage.ts'

const decode = (bytes: Uint8Array): Membership => decodeMembership(bytes, membershipProblem)

/** A valid membership by chance: ids with gaps, every role and setting. */
function randomMembership(random: () => number): Membership {
  const under = (limit: number): number => Math.floor(random() * limit)
  const members: Member[] = [{ id: 1 as NodeId, role: 'voter', weight: 1 + under(9) }]
  for (let id = 2; members.length < 1 + under(MEMBERS_MAX); id += 1 + under(9)) {
    const role = (['voter', 'logger', 'learner'] as const)[under(3)]!
    const base = { id: id as NodeId, role, weight: under(10) }
    if (role === 'learner') {
      const promote = ([undefined, 'voter', 'logger'] as const)[under(3)]
      const source = members[under(members.length)]!.id
      const chained = random() < 0.5 ? { source } : {}
      members.push({ ...base, ...chained, ...(promote && { promote }) })
    } else {
      const forced = ([undefined, 'armed', 'degraded'] as const)[under(3)]
      members.push({ ...base, ...(forced && { forced }) })
    }
  }
  const { highestId, ...rest } = membershipOf(members)
  const survivor = 1 + under(65_535)
  const forked = under(3) > 0 ? {} : { historyEpoch: 65_536 * (1 + under(65_535)) + survivor }
  return { ...rest, highestId: Math.min(65_535, highestId + under(3)) as NodeId, ...forked }
}

/** The problem when these bytes are refused as they should be; null when they are accepted. */
function problemOf(bytes: Uint8Array): string | null {
  try {
    decode(bytes)
    return null
  } catch (error) {
    if (isReplicaError(error) && error.code === 'E_FRAME_INVALID') return error.message
    throw error
  }
}

test('what is encoded comes back, and one membership has one encoding', () => {
  const random = randomOf(3)
  for (let run = 0; run < 500; run++) {
    const membership = randomMembership(random)
    expect(membershipProblem(membership)).toBeNull()
    const bytes = encodeMembership(membership)
    expect(bytes.length).toBeLessThanOrEqual(MEMBERSHIP_SIZE_MAX_BYTES)
    expect(decode(bytes)).toEqual(membership)
    expect(encodeMembership(decode(bytes))).toEqual(bytes)
  }
})

test('hostile bytes are refused with a typed error, or are a valid membership', () => {
  const random = randomOf(4)
  for (let run = 0; run < 5_000; run++) {
    const bytes = encodeMembership(randomMembership(random))
    for (let flips = 1 + Math.floor(random() * 4); flips > 0; flips--) {
      bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8)
    }
    if (problemOf(bytes) === null) expect(encodeMembership(decode(bytes))).toEqual(bytes)
  }
  for (let run = 0; run < 2_000; run++) {
    const bytes = Uint8Array.from({ length: Math.floor(random() * 300) }, () => random() * 256)
    if (problemOf(bytes) === null) expect(membershipProblem(decode(bytes))).toBeNull()
  }
})

test.each<[name: string, at: number, value: number, problem: RegExp]>([
  ['another version', 0, 3, /version/],
  ['a fork without its epoch', 0, 2, /size/],
  ['more members than bytes', 1, 4, /size/],
  ['quorums that need not meet', 2, 1, /need not meet/],
  ['a quorum above the voters', 3, 4, /acceptQuorum/],
  ['a highest id below a member', 4, 2, /highest id/],
  ['reserved bits', 6, 1, /reserved/],
  ['an id twice', 16, 1, /twice/],
  ['a role that is none', 10, 3, /role/],
  ['a weight above 9', 11, 10, /weight/],
  ['a forced state that is none', 12, 3, /forced/],
  ['a promotion of a voter', 13, 1, /promote/],
  ['a source of a voter', 14, 2, /source/],
])('%s is refused', (_name, at, value, problem) => {
  const members = [1, 2, 3].map((id): Member => ({ id: id as NodeId, role: 'voter', weight: 5 }))
  const bytes = encodeMembership(membershipOf(members))
  bytes[at] = value
  expect(problemOf(bytes)).toMatch(problem)
})

test('every prefix of a membership is refused', () => {
  const bytes = encodeMembership(randomMembership(randomOf(5)))
  for (let size = 0; size < bytes.length; size++) {
    expect(problemOf(bytes.subarray(0, size))).not.toBeNull()
  }
})

test('of a forked history: the epoch is told, and one that no command made is refused', () => {
  const member: Member = { id: 1 as NodeId, role: 'voter', weight: 5 }
  const bytes = encodeMembership({ ...membershipOf([member]), historyEpoch: 65_537 })
  expect([...bytes.subarray(0, 16)]).toEqual([2, 1, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0])
  expect(decode(bytes).historyEpoch).toBe(65_537)
  const problems = [
    [8, 0],
    [10, 0],
    [12, 1],
  ].map(([at, value]) => {
    const copy = bytes.slice()
    copy[at!] = value!
    return problemOf(copy)
  })
  expect(problems[0]).toMatch(/historyEpoch/)
  expect(problems[1]).toMatch(/historyEpoch/)
  expect(problems[2]).toMatch(/reserved/)
  const zero = bytes.slice()
  zero.fill(0, 8, 12)
  expect(problemOf(zero)).toMatch(/historyEpoch/)
})
