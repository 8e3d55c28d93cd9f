/**
 * What a report needs of each kind of result, as run-time checks that make its views
 * (native-free-bench/report/model.ts). Keys that older versions did not write have defaults here;
 * a file that does not say which command makes it again is given the one that its configuration
 * tells. Data and small transforms only.
 */
import { z } from 'zod'
import { DISK_CACHES } from '../../native-free-bench/environment-type.ts'
import { benchCommand, compareCommand } from '../../native-free-bench/command-of.ts'
import type { Origin, Stored, TunePoint } from '../../native-free-bench/report/model.ts'
import {
  APIS,
  DURABILITIES,
  ENGINES,
  LAYOUTS,
  ROLES,
  STATE_MACHINES,
  type PublicBenchConfig,
  type PublicCompareConfig,
  TRANSPORTS,
} from '../../native-free-bench/types.ts'

type ViewOf<One> = One extends Stored ? Omit<One, 'origin'> : never

export interface Read extends Pick<Origin, 'command' | 'environment' | 'violations' | 'partial'> {
  readonly view: ViewOf<Stored>
}

const amount = z.number().min(0)
const count = z.int().min(0)
const node = z.int().min(1).max(9)
const texts = z.array(z.string())

export const environmentShape = z.object({
  commit: z.string(),
  dirty: z.boolean(),
  node: z.string(),
  cpuModel: z.string(),
  cores: count,
  memoryBytes: amount,
  kernel: z.string(),
  filesystem: z.string(),
  diskCache: z.enum(DISK_CACHES).default('unknown'),
  startedAt: z.string(),
})

/** A simulation counts its violations; they are in its own figures. */
const head = z.object({
  command: z.string().optional(),
  environment: environmentShape.nullable().default(null),
  violations: z.union([texts, count.transform((): string[] => [])]).default([]),
  partial: z.boolean().default(false),
})

// ---- bench and compare -----------------------------------------------------------------------

const load = {
  nodes: node,
  roles: z.array(z.enum(ROLES)).max(9),
  transport: z.enum(TRANSPORTS),
  durability: z.enum(DURABILITIES),
  payload: count,
  rate: amount.nullable().default(null),
  api: z.enum(APIS),
  duration: amount,
  warmup: amount,
  trials: count.default(1),
  rttMs: amount.default(0),
  killLeaderAfter: amount.nullable().default(null),
  seed: count.default(1),
}

/** Not shown, but in the command that measures it again. */
const unshown = {
  weights: z.array(count).nullish(),
  forced: z.array(node).optional(),
  sources: z.array(z.object({ node, source: node })).optional(),
  quorums: z.object({ prepare: node, accept: node }).nullish(),
  clients: count.optional(),
  layout: z.enum(LAYOUTS).optional(),
  jitterMs: amount.optional(),
  bandwidthMbps: amount.optional(),
  stateMachine: z.enum(STATE_MACHINES).optional(),
  killNode: z.object({ node, atS: amount }).nullish(),
  slowDisk: z.object({ node, factor: amount }).nullish(),
  keep: z.boolean().optional(),
  allowTmpfs: z.boolean().optional(),
}

const benchConfig = z.looseObject({
  engine: z.enum(ENGINES),
  ...load,
  ...unshown,
  inflight: z.union([count, z.literal('best')]).nullable(),
  batchMaxBytes: count,
  pipelineDepth: count,
})

const compareConfig = z.looseObject({
  engines: z.array(z.enum(ENGINES)),
  ladder: z.boolean().default(false),
  ...load,
  ...unshown,
})

const latencyUs = z.object({
  count,
  mean: amount,
  p50: amount,
  p90: amount,
  p99: amount,
  p999: amount,
  max: amount,
})

const trial = z.object({
  entries: count,
  durationS: amount,
  throughputPerS: amount,
  latencyUs,
  stages: z.record(z.string(), z.object({ busyRatio: amount })).default({}),
  safety: z.object({
    checkedEntries: count,
    entriesLost: count,
    duplicates: count,
    stateHashesEqual: z.boolean(),
    violations: count,
    violationDetails: texts.default([]),
  }),
  failover: z
    .array(z.object({ atS: amount, gapMs: amount, fromNode: node, toNode: node }))
    .default([]),
  refused: count.default(0),
  offeredPerS: amount.nullable().default(null),
  samples: z
    .array(z.object({ tS: amount, throughputPerS: amount, p99: amount, rssBytes: amount }))
    .default([]),
  warnings: texts.default([]),
})

const spread = z.object({ median: amount, min: amount, max: amount })
const latencySpreads = z.object({ p50: spread, p99: spread, p999: spread })
const sweep = z
  .array(z.object({ inflight: count, throughputPerS: amount, p99: amount }))
  .default([])

const bench = z.object({
  config: benchConfig,
  sweep,
  trials: z.array(trial),
  summary: z.object({ throughputPerS: spread, latencyUs: latencySpreads }).nullable(),
})

const row = z
  .object({
    label: z.string().optional(),
    engine: z.enum(ENGINES),
    config: benchConfig,
    sweep,
    trials: z.array(trial),
    throughputPerS: spread,
    latencyUs: latencySpreads,
    ratio: z.object({ median: amount, low: amount, high: amount }),
    p: amount.nullable(),
  })
  .transform((one) => ({ ...one, label: one.label ?? one.engine }))

const compare = z.object({ config: compareConfig, rows: z.array(row) })

// ---- The others ------------------------------------------------------------------------------

/** A figure, or the spread of several. */
const median = z.union([amount, z.object({ median: amount }).transform((one) => one.median)])
const tail = z.union([amount, z.object({ p99: median }).transform(({ p99 }) => p99)])

const point = z
  .object({
    batchMaxBytes: z.int().min(1),
    pipelineDepth: z.int().min(1),
    throughputPerS: median,
    latencyUs: tail.nullish(),
    predictedThroughputPerS: median.nullish(),
  })
  .transform((one): TunePoint => ({
    batchMaxBytes: one.batchMaxBytes,
    pipelineDepth: one.pipelineDepth,
    throughputPerS: one.throughputPerS,
    p99Us: one.latencyUs ?? null,
    predictedPerS: one.predictedThroughputPerS ?? null,
  }))

const tune = z.object({
  config: z
    .object({
      nodes: load.nodes,
      transport: load.transport,
      durability: load.durability,
      payload: load.payload,
      rttMs: load.rttMs,
    })
    .nullable()
    .default(null),
  points: z.array(point),
  best: point.nullable(),
  adaptive: point.nullable().default(null),
  gridBest: point.nullable().default(null),
  rationale: texts.default([]),
})

const suites = z.object({
  suites: z.array(
    z.object({
      suite: z.string(),
      question: z.string(),
      rows: z.array(
        z.object({
          name: z.string(),
          nsPerCallMedian: amount,
          nsPerCallP99: amount,
          errorPercent: amount,
          samples: count,
        }),
      ),
    }),
  ),
})

const layouts = z.object({
  rows: z.array(
    z.object({
      transport: z.string(),
      inflight: count,
      layout: z.string(),
      throughputPerS: spread,
      p50Us: spread,
    }),
  ),
})

const verify = z.object({
  figures: z.array(
    z.object({
      name: z.string(),
      claim: z.string(),
      unit: z.enum(['ratio', 'perS', 'us']),
      spread: z.object({ median: z.number(), min: z.number(), max: z.number() }),
      isKept: z.boolean(),
      note: z.string().default(''),
    }),
  ),
  missing: texts.default([]),
})

const mutants = z.object({ mutants: count, survivors: texts, median: amount })
const sim = z.object({ schedules: count, events: count, violations: count })

/** Whatever keys hold the result of a simulation are its parts. */
const campaign = z.record(z.string(), z.unknown()).transform((content) =>
  Object.entries(content).flatMap(([name, value]) => {
    const { data } = sim.safeParse(value)
    return data === undefined ? [] : [{ name, ...data }]
  }),
)

// ---- Readers ---------------------------------------------------------------------------------

/** @throws z.ZodError naming what is not as it should be */
type Reader = (content: unknown) => Read

function readerOf<Body>(
  body: z.ZodType<Body>,
  viewOf: (body: Body) => ViewOf<Stored>,
  commandOf: (body: Body) => string,
): Reader {
  return (content) => {
    const data = body.parse(content)
    const { command, ...rest } = head.parse(content)
    return { ...rest, command: command ?? commandOf(data), view: viewOf(data) }
  }
}

export const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  [
    'xpaxos-bench/1',
    readerOf(
      bench,
      (body) => ({ kind: 'bench', ...body }),
      ({ config }) => benchCommand(config as Partial<PublicBenchConfig>),
    ),
  ],
  [
    'xpaxos-compare/1',
    readerOf(
      compare,
      (body) => ({ kind: 'compare', ...body }),
      ({ config }) => compareCommand(config as Partial<PublicCompareConfig>),
    ),
  ],
  [
    'xpaxos-tune/1',
    readerOf(
      tune,
      (body) => ({ kind: 'tune', ...body }),
      () => 'xpaxos tune',
    ),
  ],
  [
    'xpaxos-suites/1',
    readerOf(
      suites,
      (body) => ({ kind: 'suites', ...body }),
      () => 'xpaxos suite',
    ),
  ],
  [
    'xpaxos-layouts/1',
    readerOf(
      layouts,
      (body) => ({ kind: 'layouts', ...body }),
      () => 'npm run layouts',
    ),
  ],
  [
    'xpaxos-verify/1',
    readerOf(
      verify,
      (body) => ({ kind: 'verify', ...body }),
      () => 'xpaxos verify',
    ),
  ],
  [
    'xpaxos-mutants/1',
    readerOf(
      mutants,
      (body) => ({ kind: 'mutants', ...body }),
      () => 'npm run mutants',
    ),
  ],
  [
    'xpaxos-campaign/1',
    readerOf(
      campaign,
      (parts) => ({ kind: 'sim', parts }),
      () => 'npm run campaign',
    ),
  ],
  [
    'xpaxos-sim/1',
    readerOf(
      sim,
      (body) => ({ kind: 'sim', parts: [{ name: 'schedules', ...body }] }),
      () => 'xpaxos sim',
    ),
  ],
])
