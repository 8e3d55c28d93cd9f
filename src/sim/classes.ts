/**
 * Classes of schedules: what a seed of each draws. A class names the faults that may be on; the
 * seed draws which of them are, and how often (swarm): also none, also only one. Pure.
 */
import type { Member } from '../core/engine.ts'
import {
  drawClocks,
  drawKnobs,
  drawLaws,
  drawMembers,
  drawNoise,
  drawRequests,
  gather,
  microMembers,
  partialMembers,
  quiet,
  slowLaws,
} from './draws.ts'
import { FAULTS, type Fault, drawFaults, partialOps } from './faults.ts'
import { drawForced, drawJoiners, drawOperators, drawQuorums, drawSources } from './member-plan.ts'
import type { Ending, Knobs, Op, Plan } from './plan.ts'
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
import { stagePlanOf } from './stage-plan.ts'

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
    share: 6,
    what: 'every fault kind, as the swarm draws them',
    engine: 'xpaxos',
    faults: FAULTS,
    noise: 400,
    size: 'full',
  },
  clients: {
    share: 4,
    what: 'the stages of production: sessions, retries and reads while their nodes come and go',
    engine: 'xpaxos',
    faults: [...DEATH, 'cut', 'isolate', 'reset', 'clog', 'pause'],
    noise: 400,
    size: 'full',
  },
  groups: {
    share: 4,
    what: 'groups of frames, and leaders that die within them',
    engine: 'xpaxos',
    faults: [...DEATH, 'isolate', 'reset'],
    noise: 200,
    size: 'full',
  },
  membership: {
    share: 10,
    what: 'members come, change and go, leadership is handed over; few faults',
    engine: 'xpaxos',
    faults: ['crash', 'kill', 'isolate', 'cut', 'stall', 'reset'],
    noise: 50,
    size: 'full',
    operators: true,
  },
  'mixed-member': {
    share: 16,
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
export function planOf(
  seed: number,
  name: ClassName = classOf(seed),
  driver: 'core' | 'stages' | null = null,
): Plan {
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
  if (name === 'groups') gather(ops, split(random))
  if (graph !== null) ops.push(...partialOps(graph, members.length, untilUs))
  else ops.push(...drawFaults(split(random), spec.faults, nodeCount, knobs, untilUs))
  if (hasOperators) ops.push(...drawOperators(split(random), { members, joiners }, knobs, untilUs))
  ops.sort((a, b) => a.atUs - b.atUs)
  const ending = isPartial ? 'partial' : drawEnding(random, isBasic || name === 'calm')
  const plan: Plan = {
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
    stages: null,
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
  const isStageable = !isBasic && name !== 'groups'
  const isStaged = isStageable && (chance(random, STAGES_PER_MILLE) || name === 'clients')
  return (driver === 'stages' && isStageable) || (driver === null && isStaged)
    ? stagePlanOf(plan, split(random))
    : plan
}

/** Full schedules that run on the stages of production: they cost more. */
const STAGES_PER_MILLE = 200

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
    stages: null,
    clocks: drawClocks(random, 3, false),
    ops,
    untilUs: MICRO_UNTIL_US,
    ending: 'safety',
    away: [],
    graph: null,
    eventsMax: MICRO_EVENTS,
  }
}
