/**
 * Classes of schedules: what a seed of each draws. A class names the faults that may be on; the
 * seed draws which of them are, and how often (swarm): also none, also only one. Pure.
 */
import type { Member, MemberRole } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { FAULTS, type Fault, drawFaults, partialOps } from './faults.ts'
import { type Law, constant, tail, uniform } from './laws.ts'
import { drawForced, drawJoiners, drawOperators, drawQuorums, drawSources } from './member-plan.ts'
import {
  type Ending,
  type Knobs,
  LEADER,
  type Laws,
  type Noise,
  type Op,
  type Plan,
} from './plan.ts'
import {
  type Random,
  below,
  between,
  chance,
  createRandom,
  pick,
  shuffle,
  split,
} from './random.ts'

interface ClassSpec {
  /** Of 100 seeds without --class so many are of this class. */
  readonly share: number
  readonly what: string
  readonly engine: Plan['engine']
  readonly faults: readonly Fault[]
  /** Per mille of seeds with loss, duplicates, reordering or bit flips. */
  readonly noise: number
  readonly size: 'full' | 'micro'
  /** Changes of the membership and hand-overs, by operators. */
  readonly operators?: true
}

const NET: readonly Fault[] = ['cut', 'one-way', 'isolate', 'reset', 'clog', 'hub', 'chain']
const DEATH: readonly Fault[] = ['crash', 'kill', 'power', 'fail-sync', 'stall']

export const CLASSES = {
  calm: {
    share: 3,
    what: 'no faults at all: any irregularity is a bug',
    engine: 'xpaxos',
    faults: [],
    noise: 0,
    size: 'full',
  },
  crash: {
    share: 10,
    what: 'power losses, ends of processes, failed and stalled syncs',
    engine: 'xpaxos',
    faults: DEATH,
    noise: 100,
    size: 'full',
  },
  partition: {
    share: 10,
    what: 'cut, one-way, clogged, reset and noisy links',
    engine: 'xpaxos',
    faults: NET,
    noise: 500,
    size: 'full',
  },
  'partial-connectivity': {
    share: 6,
    what: 'quorum loss, constrained election, chain: writable within 4 election timeouts',
    engine: 'xpaxos',
    faults: [],
    noise: 0,
    size: 'full',
  },
  clock: {
    share: 4,
    what: 'clocks with offsets, drift up to 10 % and steps',
    engine: 'xpaxos',
    faults: ['clock', 'crash', 'cut'],
    noise: 100,
    size: 'full',
  },
  pause: {
    share: 4,
    what: 'nodes stop for a while, their input piles up',
    engine: 'xpaxos',
    faults: ['pause', 'stall', 'reset'],
    noise: 100,
    size: 'full',
  },
  overload: {
    share: 5,
    what: 'ten times the load, small windows, slow disks, ring pressure',
    engine: 'xpaxos',
    faults: ['pressure', 'stall', 'clog', 'crash'],
    noise: 0,
    size: 'full',
  },
  mixed: {
    share: 8,
    what: 'every fault kind, as the swarm draws them',
    engine: 'xpaxos',
    faults: FAULTS,
    noise: 400,
    size: 'full',
  },
  membership: {
    share: 12,
    what: 'members come, change and go, leadership is handed over; few faults',
    engine: 'xpaxos',
    faults: ['crash', 'kill', 'isolate', 'cut', 'stall', 'reset'],
    noise: 50,
    size: 'full',
    operators: true,
  },
  'mixed-member': {
    share: 20,
    what: 'the same under every fault kind at once',
    engine: 'xpaxos',
    faults: FAULTS,
    noise: 400,
    size: 'full',
    operators: true,
  },
  micro: {
    share: 10,
    what: '3 nodes, at most 150 events',
    engine: 'xpaxos',
    faults: ['crash', 'kill', 'cut', 'one-way', 'reset', 'pause', 'isolate'],
    noise: 300,
    size: 'micro',
  },
  'basic-paxos': {
    share: 8,
    what: 'the baseline under the same faults',
    engine: 'basic-paxos',
    faults: ['crash', 'kill', 'fail-sync', 'stall', 'cut', 'isolate', 'reset', 'pause', 'pressure'],
    noise: 500,
    size: 'full',
  },
} as const satisfies Record<string, ClassSpec>

export type ClassName = keyof typeof CLASSES
export const CLASS_NAMES = Object.keys(CLASSES) as ClassName[]

export const isClassName = (name: string): name is ClassName => Object.hasOwn(CLASSES, name)

/** The class that a seed draws for itself. */
export function classOf(seed: number): ClassName {
  let dice = below(createRandom(seed ^ 0x0c1a55), 100)
  for (const name of CLASS_NAMES) {
    dice -= CLASSES[name].share
    if (dice < 0) return name
  }
  return 'mixed'
}

/** Everything that the seed means. */
export function planOf(seed: number, name: ClassName = classOf(seed)): Plan {
  const spec: ClassSpec = CLASSES[name]
  const random = createRandom(seed)
  if (spec.size === 'micro') return microPlan(seed, name, spec, random)
  const isPartial = name === 'partial-connectivity'
  const isBasic = spec.engine === 'basic-paxos'
  const graph = isPartial ? pick(random, GRAPHS) : null
  const hasOperators = spec.operators === true
  const drawn = isPartial ? partialMembers(random) : drawMembers(random, isBasic, hasOperators)
  const first = isBasic ? plainly(drawn) : drawFirst(random, drawn, isPartial)
  const { members } = first
  const joiners = hasOperators ? drawJoiners(random, members.length) : []
  const nodeCount = members.length + joiners.length
  const knobs = drawKnobs(random, name)
  const untilUs = 1_000 * knobs.electionTimeoutMs * between(random, 6, 12)
  const noise = chance(random, spec.noise) ? drawNoise(random) : quiet(random)
  const requests = name === 'overload' ? 1_500 : between(random, 500, isBasic ? 700 : 1_200)
  const ops: Op[] = drawRequests(split(random), isPartial ? 100 : requests, untilUs, name)
  if (graph !== null) ops.push(...partialOps(graph, members.length, untilUs))
  else ops.push(...drawFaults(split(random), spec.faults, nodeCount, knobs, untilUs))
  if (hasOperators) ops.push(...drawOperators(split(random), { members, joiners }, knobs, untilUs))
  ops.sort((a, b) => a.atUs - b.atUs)
  const ending = isPartial ? 'partial' : drawEnding(random, isBasic || name === 'calm')
  return {
    seed,
    chanceSeed: seed,
    className: name,
    engine: spec.engine,
    ...first,
    joiners,
    knobs,
    laws: name === 'overload' ? slowLaws(random) : drawLaws(random),
    noise,
    realWal: chance(random, 120),
    clocks: drawClocks(random, nodeCount, name === 'clock'),
    ops,
    untilUs,
    ending,
    away:
      ending === 'core'
        ? shuffle(
            random,
            Array.from({ length: nodeCount }, (_, i) => i),
          )
        : [],
    graph,
    eventsMax: 400_000,
  }
}

type First = Pick<Plan, 'members' | 'quorums'>

const plainly = (members: readonly Member[]): First => ({ members, quorums: null })

/** A cut graph is solved by majorities, and the time that a forced member costs is no election. */
function drawFirst(random: Random, drawn: readonly Member[], isPartial: boolean): First {
  if (isPartial) return plainly(drawn)
  const members = drawSources(random, drawForced(random, drawn))
  return { members, quorums: drawQuorums(random, members) }
}

const GRAPHS = ['quorum-loss', 'constrained', 'chained'] as const
function drawEnding(random: Random, isWhole: boolean): Ending {
  if (!chance(random, 600)) return 'safety'
  return !isWhole && chance(random, 350) ? 'core' : 'liveness'
}

const MICRO_EVENTS = 150
const MICRO_UNTIL_US = 2_000_000

function microPlan(seed: number, name: string, spec: ClassSpec, random: Random): Plan {
  const knobs: Knobs = {
    ...drawKnobs(random, name),
    heartbeatMs: 40,
    electionTimeoutMs: 120,
    tickMs: 20,
  }
  const first = drawFirst(random, microMembers(random), false)
  const untilUs = 500_000
  const noise = chance(random, spec.noise) ? drawNoise(random) : quiet(random)
  const ops = drawRequests(split(random), between(random, 2, 12), untilUs, name)
  ops.push(...drawFaults(split(random), spec.faults, 3, knobs, untilUs))
  ops.sort((a, b) => a.atUs - b.atUs)
  return {
    seed,
    chanceSeed: seed,
    className: name,
    engine: spec.engine,
    ...first,
    joiners: [],
    knobs,
    laws: drawLaws(random),
    noise,
    realWal: false,
    clocks: drawClocks(random, 3, false),
    ops,
    untilUs: MICRO_UNTIL_US,
    ending: 'safety',
    away: [],
    graph: null,
    eventsMax: MICRO_EVENTS,
  }
}

const memberOf = (role: MemberRole, place: number, weight: number): Member => ({
  id: (place + 1) as NodeId,
  role,
  weight,
})

function microMembers(random: Random): Member[] {
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

function partialMembers(random: Random): Member[] {
  const count = pick(random, [3, 5])
  return Array.from({ length: count }, (_, place) =>
    memberOf('voter', place, place === 0 ? 9 : pick(random, [1, 3, 5])),
  )
}

function drawKnobs(random: Random, name: string): Knobs {
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

function drawLaws(random: Random): Laws {
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

const slowLaws = (random: Random): Laws => ({
  ...drawLaws(random),
  sync: uniform(4_000, 16_000),
  apply: uniform(1_000, 20_000),
})

const quiet = (random: Random): Noise => ({
  loss: 0,
  duplicates: 0,
  reorder: false,
  flips: 0,
  gaps: pick(random, [0, 50, 500]),
})

function drawNoise(random: Random): Noise {
  return {
    loss: chance(random, 600) ? between(random, 1, 60) : 0,
    duplicates: chance(random, 500) ? between(random, 1, 60) : 0,
    reorder: chance(random, 400),
    flips: chance(random, 300) ? between(random, 1, 10) : 0,
    gaps: pick(random, [0, 50, 500]),
  }
}

function drawClocks(random: Random, count: number, wild: boolean): Plan['clocks'] {
  return Array.from({ length: count }, () => ({
    offsetMs: wild ? below(random, 1_000_000) : 0,
    driftPpm: wild ? between(random, -100_000, 100_000) : 0,
  }))
}

/** Requests in bursts, all over the time. */
function drawRequests(random: Random, count: number, untilUs: number, name: string): Op[] {
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
