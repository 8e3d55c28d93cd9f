/**
 * Parts of a plan that every class draws: members, knobs, laws, noise, clocks, requests. Pure.
 */
import type { Member, MemberRole } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { type Law, constant, tail, uniform } from './laws.ts'
import { type Knobs, LEADER, type Laws, type Noise, type Op, type Plan } from './plan.ts'
import { type Random, below, between, chance, pick, shuffle } from './random.ts'

const memberOf = (role: MemberRole, place: number, weight: number): Member => ({
  id: (place + 1) as NodeId,
  role,
  weight,
})

export function microMembers(random: Random): Member[] {
  const logger = chance(random, 250) ? below(random, 3) : -1
  return [0, 1, 2].map((place) =>
    memberOf(place === logger ? 'logger' : 'voter', place, pick(random, [1, 5, 9, 9, 9])),
  )
}

const VOTER_COUNTS = [1, 2, 3, 3, 3, 4, 5, 5, 5, 5, 5, 5, 7]
/** Where members come and go. */
const FIRST_COUNTS = [1, 2, 3, 3, 3, 4, 4, 5, 5]

export function drawMembers(random: Random, isBasic: boolean, changes: boolean): Member[] {
  const voterCount = pick(random, changes ? FIRST_COUNTS : VOTER_COUNTS)
  const loggerCount = Math.min(below(random, 3), Math.max(0, voterCount - 1))
  const learnerCount = chance(random, 600) ? 0 : between(random, 1, isBasic ? 1 : changes ? 2 : 3)
  const roles: MemberRole[] = []
  for (let i = 0; i < voterCount; i++) roles.push(i < voterCount - loggerCount ? 'voter' : 'logger')
  for (let i = 0; i < learnerCount; i++) roles.push('learner')
  shuffle(random, roles)
  let candidates = 0
  const weights = roles.map((role) => {
    const weight = chance(random, 100) ? 0 : between(random, 1, 9)
    if (role === 'voter' && weight > 0) candidates += 1
    return weight
  })
  return roles.map((role, place) =>
    memberOf(role, place, candidates === 0 || isBasic ? 5 : weights[place]!),
  )
}

export function partialMembers(random: Random): Member[] {
  const count = pick(random, [3, 5])
  return Array.from({ length: count }, (_, place) =>
    memberOf('voter', place, place === 0 ? 9 : pick(random, [1, 3, 5])),
  )
}

export function drawKnobs(random: Random, name: string): Knobs {
  const heartbeatMs = pick(random, [20, 30, 50])
  const tight = name === 'overload'
  return {
    heartbeatMs,
    electionTimeoutMs: heartbeatMs * pick(random, [5, 6, 10]),
    windowBytes: pick(random, tight ? [4_096, 8_192] : [4_096, 16_384, 262_144]),
    batchBytesMax: pick(random, tight ? [2_048, 8_192] : [2_048, 16_384, 65_536]),
    batchEntriesMax: pick(random, [10, 100, 1_000, 1_000]),
    pipelineDepth: pick(random, tight ? [1, 2, 4] : [1, 2, 8, 64]),
    tickMs: Math.max(5, Math.floor(heartbeatMs / pick(random, [2, 5]))),
    proposers: between(random, 1, 3),
    inflightInstancesMax: between(random, 1, 12),
    backlogEntriesMax: tight ? 300 : 20_000,
  }
}

export function drawLaws(random: Random): Laws {
  const link: Law = pick(random, [
    constant(500),
    uniform(200, 1_000),
    uniform(500, 4_000),
    tail(300, 800),
  ])
  return {
    link,
    sync: pick(random, [constant(1_000), uniform(500, 4_000), tail(800, 1_600)]),
    read: pick(random, [constant(1_000), uniform(500, 8_000)]),
    apply: pick(random, [constant(100), uniform(0, 8_000)]),
    submit: pick(random, [constant(0), uniform(0, 1_500)]),
  }
}

export const slowLaws = (random: Random): Laws => ({
  ...drawLaws(random),
  sync: uniform(4_000, 16_000),
  apply: uniform(1_000, 20_000),
})

export const quiet = (random: Random): Noise => ({
  loss: 0,
  duplicates: 0,
  reorder: false,
  flips: 0,
  gaps: pick(random, [0, 50, 500]),
})

export function drawNoise(random: Random): Noise {
  return {
    loss: chance(random, 600) ? between(random, 1, 60) : 0,
    duplicates: chance(random, 500) ? between(random, 1, 60) : 0,
    reorder: chance(random, 400),
    flips: chance(random, 300) ? between(random, 1, 10) : 0,
    gaps: pick(random, [0, 50, 500]),
  }
}

export function drawClocks(random: Random, count: number, wild: boolean): Plan['clocks'] {
  return Array.from({ length: count }, () => ({
    offsetMs: wild ? below(random, 1_000_000) : 0,
    driftPpm: wild ? between(random, -100_000, 100_000) : 0,
  }))
}

/** Makes groups of half of the requests. */
export function gather(ops: Op[], random: Random): void {
  for (const [place, op] of ops.entries()) {
    if (op.kind !== 'submit' || chance(random, 500)) continue
    const count = Math.min(op.count, GROUP_ENTRIES_MAX)
    ops[place] = { ...op, count, groupFrames: between(random, 2, GROUP_FRAMES_MAX) }
  }
}
const GROUP_ENTRIES_MAX = 10
const GROUP_FRAMES_MAX = 12

/** Requests in bursts, all over the time. */
export function drawRequests(random: Random, count: number, untilUs: number, name: string): Op[] {
  const ops: Op[] = []
  const sessions = between(random, 1, 32)
  const entriesMax = pick(random, [1, 10, 60, 150])
  const burstMax = name === 'overload' ? 40 : name === 'micro' ? 2 : 10
  const anywhere = chance(random, 200)
  const fromUs = Math.floor(untilUs / 25) // before that nobody can lead
  while (ops.length < count) {
    const atUs = fromUs + below(random, untilUs - fromUs)
    for (let left = between(random, 1, burstMax); left > 0 && ops.length < count; left--) {
      ops.push({
        kind: 'submit',
        atUs,
        session: below(random, sessions),
        count: between(random, 1, entriesMax),
        payloadSizeBytes: between(random, 4, 12),
        node: anywhere && chance(random, 300) ? below(random, 3) : LEADER,
      })
    }
  }
  return ops
}
