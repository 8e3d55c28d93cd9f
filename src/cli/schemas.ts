/**
 * The published JSON shapes as run-time checks. The compiler holds them equal to the types of
 * native-free-bench/types.ts; docs/schemas is generated from them (REWRITE=1 on the schema test);
 * the commands check every result before they write it.
 */
import { z } from 'zod'
import { DISK_CACHES } from '../../native-free-bench/environment-type.ts'
import {
  APIS,
  type BenchResult,
  type CompareResult,
  DURABILITIES,
  ENGINES,
  LAYOUTS,
  ROLES,
  STATE_MACHINES,
  TRANSPORTS,
  TUNE_LANES,
  type TuneResult,
} from '../../native-free-bench/types.ts'

const count = z.int().min(0)
const positive = z.int().min(1)
const amount = z.number().min(0)

const load = {
  nodes: positive,
  roles: z.array(z.enum(ROLES)).readonly(),
  weights: z.array(count).readonly().nullable(),
  forced: z.array(positive).readonly(),
  sources: z.array(z.strictObject({ node: positive, source: positive }).readonly()).readonly(),
  quorums: z.strictObject({ prepare: positive, accept: positive }).readonly().nullable(),
  transport: z.enum(TRANSPORTS),
  durability: z.enum(DURABILITIES),
  payload: positive,
  inflight: z.union([positive, z.literal('best')]).nullable(),
  rate: amount.nullable(),
  clients: positive,
  api: z.enum(APIS),
  duration: amount,
  warmup: amount,
  trials: positive,
  layout: z.enum(LAYOUTS),
  rttMs: amount,
  jitterMs: amount,
  bandwidthMbps: amount,
  stateMachine: z.enum(STATE_MACHINES),
  killLeaderAfter: amount.nullable(),
  killNode: z.strictObject({ node: positive, atS: amount }).readonly().nullable(),
  slowDisk: z.strictObject({ node: positive, factor: amount }).readonly().nullable(),
  seed: count,
  keep: z.boolean(),
  allowTmpfs: z.boolean(),
}

const engineKnobs = {
  batchMaxBytes: positive,
  batchMaxEntries: count,
  batchLingerUs: count,
  pipelineDepth: positive,
  windowMaxBytes: positive,
  proposers: positive,
}

const engineKnobsGiven = {
  batchMaxBytes: positive.nullable(),
  batchMaxEntries: count.nullable(),
  batchLingerUs: count.nullable(),
  pipelineDepth: positive.nullable(),
  windowMaxBytes: positive.nullable(),
  proposers: positive.nullable(),
}

const engine = z.enum(ENGINES)
const benchConfig = z.strictObject({ engine, ...load, ...engineKnobs }).readonly()
const compareConfig = z
  .strictObject({
    engines: z.array(engine).readonly(),
    ladder: z.boolean(),
    ...load,
    ...engineKnobsGiven,
  })
  .readonly()

const environment = z
  .strictObject({
    commit: z.string(),
    dirty: z.boolean(),
    node: z.string(),
    cpuModel: z.string(),
    cores: positive,
    memoryBytes: positive,
    kernel: z.string(),
    filesystem: z.string(),
    diskCache: z.enum(DISK_CACHES),
    startedAt: z.iso.datetime(),
  })
  .readonly()

const latencyUs = z
  .strictObject({
    count,
    mean: amount,
    p50: amount,
    p90: amount,
    p99: amount,
    p999: amount,
    max: amount,
  })
  .readonly()

const cpu = z.strictObject({ userS: amount, systemS: amount, coresUsed: amount }).readonly()

const stage = z
  .strictObject({
    ...{ busyRatio: amount, batches: count, entries: count, stalls: count },
    ...{ syncs: count, syncMsMean: amount },
  })
  .readonly()
const thread = z.strictObject({ parks: count, wakes: count }).readonly()
const ring = z.strictObject({ occupancyMean: amount, occupancyMax: amount }).readonly()

const safety = z
  .strictObject({
    checkedEntries: count,
    entriesLost: count,
    duplicates: count,
    stateHashesEqual: z.boolean(),
    violations: count,
    violationDetails: z.array(z.string()).readonly(),
  })
  .readonly()

const node = z
  .strictObject({
    id: positive,
    role: z.enum(ROLES),
    applied: count,
    chosen: count,
    durable: count,
    acceptedBatches: count,
    syncs: count,
    cpu,
    rssBytesMax: count,
    stateHash: z.string().nullable(),
  })
  .readonly()

const failover = z
  .strictObject({ atS: amount, gapMs: amount, fromNode: positive, toNode: positive })
  .readonly()
const sample = z
  .strictObject({ tS: amount, throughputPerS: amount, p99: amount, rssBytes: count })
  .readonly()

const trial = z
  .strictObject({
    entries: count,
    durationS: amount,
    throughputPerS: amount,
    bytesPerS: amount,
    latencyUs,
    cpu,
    rssBytesMax: count,
    syncs: count,
    batchEntries: z.strictObject({ p50: amount, mean: amount, max: amount }).readonly(),
    inflightMax: count,
    stages: z.record(z.string(), stage).readonly(),
    rings: z.record(z.string(), ring).readonly(),
    threads: z.record(z.string(), thread).readonly(),
    safety,
    nodes: z.array(node).readonly(),
    failover: z.array(failover).readonly(),
    refused: count,
    offeredPerS: amount.nullable(),
    roundTripMs: amount.nullable(),
    samples: z.array(sample).readonly(),
    warnings: z.array(z.string()).readonly(),
    partial: z.boolean(),
  })
  .readonly()

const spread = z.strictObject({ median: amount, min: amount, max: amount }).readonly()
const latencySpreads = z.strictObject({ p50: spread, p99: spread, p999: spread }).readonly()
const sweep = z
  .array(z.strictObject({ inflight: positive, throughputPerS: amount, p99: amount }).readonly())
  .readonly()
const violations = z.array(z.string()).readonly()

export const benchResultSchema = z
  .strictObject({
    schema: z.literal('xpaxos-bench/1'),
    command: z.string(),
    environment,
    config: benchConfig,
    sweep,
    trials: z.array(trial).readonly(),
    summary: z
      .strictObject({ throughputPerS: spread, latencyUs: latencySpreads })
      .readonly()
      .nullable(),
    violations,
    partial: z.boolean(),
  })
  .readonly()

const ratio = z.strictObject({ median: amount, low: amount, high: amount }).readonly()
const probability = z.number().min(0).max(1).nullable()

const compareRow = z
  .strictObject({
    label: z.string(),
    engine,
    config: benchConfig,
    sweep,
    trials: z.array(trial).readonly(),
    throughputPerS: spread,
    latencyUs: latencySpreads,
    ratio,
    p: probability,
  })
  .readonly()

export const compareResultSchema = z
  .strictObject({
    schema: z.literal('xpaxos-compare/1'),
    command: z.string(),
    environment,
    config: compareConfig,
    rows: z.array(compareRow).readonly(),
    violations,
    partial: z.boolean(),
  })
  .readonly()

const sizes = { batchMaxBytes: positive, pipelineDepth: positive }
const tunePoint = z
  .strictObject({
    ...sizes,
    throughputPerS: amount,
    latencyUs,
    predictedThroughputPerS: amount.nullable(),
    trials: positive,
  })
  .readonly()

const tuneModel = z
  .strictObject({
    entryBytes: positive,
    ...{ roundTripMs: amount, syncMs: amount, syncMsPerMib: amount },
    ...{ restUs: amount, restNsPerEntry: amount },
    resources: z
      .array(
        z
          .strictObject({
            ...{ name: z.string(), fixedUs: amount, perEntryNs: amount, logs: count },
          })
          .readonly(),
      )
      .readonly(),
  })
  .readonly()

const tuneLane = z
  .strictObject({
    lane: z.enum(TUNE_LANES),
    ...sizes,
    throughputs: z.array(amount).readonly(),
    throughputPerS: spread,
    latencyUs: latencySpreads,
    ratio,
    p: probability,
  })
  .readonly()

export const tuneResultSchema = z
  .strictObject({
    schema: z.literal('xpaxos-tune/1'),
    command: z.string(),
    environment,
    config: z
      .strictObject({
        engine,
        ...load,
        ...engineKnobs,
        grid: z.boolean(),
        sloP99Ms: amount.nullable(),
        budget: amount.nullable(),
      })
      .readonly(),
    sweep,
    points: z.array(tunePoint).readonly(),
    best: tunePoint.nullable(),
    adaptive: tunePoint.nullable(),
    searchBest: tunePoint.nullable(),
    gridBest: tunePoint.nullable(),
    model: tuneModel.nullable(),
    validation: z.array(tuneLane).readonly(),
    rationale: z.array(z.string()).readonly(),
    warnings: z.array(z.string()).readonly(),
    violations,
    partial: z.boolean(),
  })
  .readonly()

/** Fails to compile unless both types are assignable to each other. */
type Same<A, B> = [A, B] extends [B, A] ? true : false
true satisfies Same<z.infer<typeof benchResultSchema>, BenchResult>
true satisfies Same<z.infer<typeof compareResultSchema>, CompareResult>
true satisfies Same<z.infer<typeof tuneResultSchema>, TuneResult>

const SCHEMAS = {
  'xpaxos-bench/1': benchResultSchema,
  'xpaxos-compare/1': compareResultSchema,
  'xpaxos-tune/1': tuneResultSchema,
}

/** One line a problem: the path in the result, and what is wrong there. */
export function schemaProblems(result: BenchResult | CompareResult | TuneResult): string[] {
  const { error } = SCHEMAS[result.schema].safeParse(result)
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
}

/** JSON Schema, draft 2020-12. */
export const jsonSchemaOf = (schema: z.ZodType, title: string): object => ({
  title,
  ...z.toJSONSchema(schema, { target: 'draft-2020-12', reused: 'ref' }),
})
