import { expect, test } from 'vitest'
import { estimate, fitAffine, loadShapeOf } from '../../native-free-bench/tune/estimate.ts'
import {
  bottleneckOf,
  costOf,
  type CostModel,
  entriesForEfficiency,
  groupOf,
  LINK,
  packetBytesOf,
  predictOf,
  roundOf,
  roundsOf,
  saturatingRoundsOf,
  throughputOf,
  windowBytesOf,
} from '../../native-free-bench/tune/model.ts'
import type { BenchConfig } from '../../native-free-bench/types.ts'
import { trialOf } from './report-fixtures.ts'
import { machineOf, trialsOf, tuneOf } from './tune-machine.ts'

const PACKET = 128 * 2 ** 10
const FREE = { fixedS: 0, perEntryS: 0 }
const GBIT_BYTES = 1e9 / 8

const modelOf = (more: Partial<CostModel>): CostModel => ({
  entryBytes: 1,
  headerBytes: 0,
  resources: [],
  disk: { fixedS: 0, perByteS: 0 },
  roundTripS: 0,
  bandwidthBytesPerS: Infinity,
  rest: FREE,
  ...more,
})

// ---- The worked values of the theory ---------------------------------------------------------

test('10 GbE and 0.1 ms: 125 KB are under way, one packet of 128 KiB fills the link', () => {
  const bandwidthBytesPerS = 10 * GBIT_BYTES
  expect(windowBytesOf(bandwidthBytesPerS, 0.0001, 0)).toBeCloseTo(125_000)
  const model = modelOf({ bandwidthBytesPerS, roundTripS: 0.0001 })
  expect(saturatingRoundsOf(model, PACKET, 1_024)).toBe(2) // one flies, one forms
})

test('1 GbE and 30 ms: 3.75 MB are under way, 29 packets; with one the cap is 4.2 MB/s', () => {
  expect(windowBytesOf(GBIT_BYTES, 0.03, 0)).toBeCloseTo(3_750_000)
  expect(Math.ceil(3_750_000 / PACKET)).toBe(29)
  const model = modelOf({ bandwidthBytesPerS: GBIT_BYTES, roundTripS: 0.03 })
  const alone = throughputOf(model, PACKET, 1)
  expect(alone / 1e6).toBeCloseTo(4.2, 1)
  const wanted = saturatingRoundsOf(model, PACKET, 1_024)
  expect(wanted).toBeGreaterThanOrEqual(29)
  expect(wanted).toBeLessThanOrEqual(30)
  expect(throughputOf(model, PACKET, wanted) / alone).toBeCloseTo(29.6, 1)
  expect(bottleneckOf(model, PACKET, 1).name).toBe(LINK)
})

test('a sync of 1 ms for each round: 1,000 entries a second alone, 64,000 by 64', () => {
  const resources = [{ name: 'disk', busy: FREE, logs: 1 }]
  const model = modelOf({ resources, disk: { fixedS: 0.001, perByteS: 0 } })
  const perS = (entries: number): number => entries / bottleneckOf(model, entries, 1).busyS
  expect([perS(1), perS(64)]).toEqual([1_000, 64_000])
  expect(throughputOf(model, 1, 1)).toBe(1_000)
})

test('a thread that has the logs of three nodes waits for three syncs', () => {
  const at = (logs: number): number => {
    const resources = [{ name: 'caller', busy: FREE, logs }]
    return bottleneckOf(modelOf({ resources, disk: { fixedS: 0.001, perByteS: 0 } }), 1, 1).busyS
  }
  expect([at(0), at(1), at(3)]).toEqual([0, 0.001, 0.003])
})

test('syncs that rounds share cost each of them a part', () => {
  const resources = [{ name: 'disk', busy: FREE, logs: 1 }]
  const model = modelOf({ resources, disk: { fixedS: 0.001, perByteS: 1e-8 } })
  expect(bottleneckOf(model, 1_000, 4).busyS).toBeCloseTo(0.001 / 4 + 1_000 * 1e-8)
  expect([groupOf(1), groupOf(2), groupOf(16)]).toEqual([1, 1, 8])
})

test('80, 90 and 95 % of a resource go into entries from 4, 9 and 19 times alpha over beta', () => {
  const busy = { fixedS: 100e-6, perEntryS: 1e-6 }
  const times = [0.8, 0.9, 0.95].map((share) => entriesForEfficiency(busy, share) / 100)
  expect(times.map((value) => Math.round(value * 1e6) / 1e6)).toEqual([4, 9, 19])
  expect(entriesForEfficiency({ fixedS: 1, perEntryS: 0 }, 0.9)).toBe(Infinity)
})

// ---- The formulas ----------------------------------------------------------------------------

test('the busiest resource bounds; the window that saturates it is T over its busy time', () => {
  const resources = [
    { name: 'a', busy: { fixedS: 0.001, perEntryS: 0 }, logs: 0 },
    { name: 'b', busy: { fixedS: 0, perEntryS: 1e-5 }, logs: 0 },
  ]
  const model = modelOf({ resources, roundTripS: 0.01 })
  expect([bottleneckOf(model, 10, 1), bottleneckOf(model, 1_000, 1)]).toEqual([
    { name: 'a', busyS: 0.001 },
    { name: 'b', busyS: 0.01 },
  ])
  expect(roundOf(model, 10)).toBe(0.01)
  expect(saturatingRoundsOf(model, 10, 1_024)).toBe(10)
  expect(saturatingRoundsOf(model, 10, 4)).toBe(4)
  const throughputs = [1, 5, 10, 40].map((rounds) => throughputOf(model, 10, rounds))
  expect(throughputs.map(Math.round)).toEqual([1_000, 5_000, 10_000, 10_000])
})

test('a lone round is the round trip, the link, a sync, and the rest', () => {
  const model = modelOf({
    ...{ entryBytes: 20, headerBytes: 64, roundTripS: 0.005, bandwidthBytesPerS: 1e6 },
    disk: { fixedS: 0.001, perByteS: 1e-7 },
    rest: { fixedS: 0.0001, perEntryS: 1e-7 },
  })
  const packet = 64 + 20 * 500
  expect(packetBytesOf(model, 500)).toBe(packet)
  const want = 0.005 + packet / 1e6 + 0.001 + packet * 1e-7 + 0.0001 + 500 * 1e-7
  expect(roundOf(model, 500)).toBeCloseTo(want, 12)
})

test('a round takes what came while the pipeline was full, and never more than fits', () => {
  const model = modelOf({ entryBytes: 20, headerBytes: 64, roundTripS: 0.01 })
  const load = { ...loadShapeOf(tuneOf({ inflight: '8000' })), windowBytes: 8 * 2 ** 20 }
  const at = (batchMaxBytes: number, pipelineDepth: number) =>
    roundsOf(model, load, { batchMaxBytes, pipelineDepth })
  expect(at(2 ** 20, 1)).toEqual({ entries: 4_000, rounds: 1 })
  expect(at(2 ** 20, 3)).toEqual({ entries: 2_000, rounds: 3 })
  expect(at(2 ** 20, 64)).toEqual({ entries: 1_000, rounds: 8 }) // the load hands over eighths
  expect(at(64 + 20 * 100, 16)).toEqual({ entries: 100, rounds: 16 })
  const narrow = { ...load, windowBytes: 50_000 }
  expect(roundsOf(model, narrow, { batchMaxBytes: 2 ** 20, pipelineDepth: 3 }).rounds).toBe(1)
})

test('an open loop fills rounds by its rate, and gets no more than it offers', () => {
  const model = modelOf({ roundTripS: 0.01, resources: [] })
  const load = loadShapeOf(tuneOf({ rate: '100000' }))
  const sizes = { batchMaxBytes: 2 ** 20, pipelineDepth: 4 }
  expect(roundsOf(model, load, sizes).entries).toBeCloseTo(250)
  expect(predictOf(model, load, sizes)).toBeCloseTo(100_000)
  const small = { ...load, batchEntriesMax: 10 }
  expect(predictOf(model, small, sizes)).toBeCloseTo((10 * 4) / 0.01)
})

// ---- Fitting ---------------------------------------------------------------------------------

test('a fit finds both parts of a cost, and weighs small and large ones alike', () => {
  const at = (amount: number, factor = 1) => ({
    amount,
    seconds: (1e-4 + amount * 1e-7) * factor,
  })
  const exact = fitAffine([at(10), at(1_000), at(50_000)])
  expect(exact.fixedS).toBeCloseTo(1e-4, 10)
  expect(exact.perEntryS).toBeCloseTo(1e-7, 12)
  const noisy = fitAffine([at(10, 1.05), at(1_000, 0.96), at(50_000, 1.1), at(50_000, 0.9)])
  expect(costOf(noisy, 10) / costOf(exact, 10)).toBeGreaterThan(0.9)
  expect(costOf(noisy, 10) / costOf(exact, 10)).toBeLessThan(1.1)
})

test.each([
  [
    'falling costs have no part of an entry',
    [
      [10, 2],
      [100, 1],
    ],
    'fixed',
  ],
  [
    'costs that grow faster than entries have no fixed part',
    [
      [10, 1],
      [100, 30],
    ],
    'perEntry',
  ],
  [
    'one batch size cannot tell the parts apart',
    [
      [10, 3],
      [10, 3],
    ],
    'fixed',
  ],
  ['nothing was observed', [], 'none'],
] as const)('a fit has no negative part: %s', (_name, observations, part) => {
  const { fixedS, perEntryS } = fitAffine(
    observations.map(([amount, seconds]) => ({ amount, seconds })),
  )
  expect(Math.min(fixedS, perEntryS)).toBeGreaterThanOrEqual(0)
  expect([fixedS > 0, perEntryS > 0]).toEqual([part === 'fixed', part === 'perEntry'])
})

const MEASURED = [
  { batchMaxBytes: 4_096, pipelineDepth: 1 },
  { batchMaxBytes: 131_072, pipelineDepth: 1 },
  { batchMaxBytes: 2_097_152, pipelineDepth: 1 },
  { batchMaxBytes: 4_096, pipelineDepth: 8 },
  { batchMaxBytes: 2_097_152, pipelineDepth: 8 },
]

test('costs come back out of trials, and predict those and others', async () => {
  const machine = machineOf(5, 1)
  const config = tuneOf({})
  const run = trialsOf(machine, 0, 1)
  const measured = await Promise.all(
    MEASURED.map(async (sizes) => ({ ...sizes, trial: await run({ ...config, ...sizes }) })),
  )
  const model = estimate(config, measured, 2)!
  expect(model.roundTripS).toBeCloseTo(0.005)
  expect(model.disk.fixedS).toBeCloseTo(0.001, 4)
  const cores = model.resources.find(({ name }) => name === 'the 2 cores')!
  expect(cores.busy.fixedS).toBeCloseTo(200e-6, 4)
  expect(cores.busy.perEntryS).toBeCloseTo(50e-9, 9)
  const load = loadShapeOf(config)
  for (const sizes of [...MEASURED, { batchMaxBytes: 32_768, pipelineDepth: 32 }]) {
    const { throughputPerS } = await run({ ...config, ...sizes })
    expect(predictOf(model, load, sizes) / throughputPerS).toBeGreaterThan(0.75)
    expect(predictOf(model, load, sizes) / throughputPerS).toBeLessThan(1.34)
  }
})

test('stages of one thread are one resource, and memory links share the caller', () => {
  const named = (flags: Record<string, string>): string[] => {
    const config: BenchConfig = tuneOf({ nodes: '2', ...flags })
    const stages = { 'n1.wal': { busyRatio: 1, batches: 9, entries: 9, stalls: 0 } }
    const use = { ...stages['n1.wal'], syncs: 0, syncMsMean: 0 }
    const trial = trialOf(1_000, 5, { stages: { 'n1.wal': use } })
    const sizes = { batchMaxBytes: 4_096, pipelineDepth: 1 }
    return estimate(config, [{ ...sizes, trial }], 4)!.resources.map(({ name }) => name)
  }
  const caller = "the caller's thread"
  expect(named({ layout: 'inline' })).toEqual([caller, 'the 4 cores'])
  expect(named({ layout: 'split' })).toEqual([
    ...[caller, 'n1 decide', 'n1 wal', 'n1 apply', 'n2 decide', 'n2 wal', 'n2 apply'],
    'the 4 cores',
  ])
  expect(named({ layout: 'joined', transport: 'tcp' })).toEqual([
    ...['n1 caller', 'n1 decide', 'n2 caller', 'n2 decide'],
    'the 4 cores',
  ])
})

test('what a lone round takes beyond round trip and sync is the rest', () => {
  const lone = (entries: number, tookMs: number) => {
    const use = { busyRatio: 0.1, batches: 1_000 / tookMs, entries: 0, stalls: 0 }
    const stages = { 'n1.wal': { ...use, syncs: 0, syncMsMean: 0 } }
    const more = { stages, durationS: 1, entries: (entries * 1_000) / tookMs, roundTripMs: 5 }
    const trial = trialOf(1, 1e6, more)
    return { batchMaxBytes: 4_096, pipelineDepth: 1, trial }
  }
  const config = tuneOf({ durability: 'os' })
  const { rest } = estimate(config, [lone(10, 8), lone(1_010, 10)], 2)!
  expect(rest.fixedS).toBeCloseTo(0.00298, 6)
  expect(rest.perEntryS).toBeCloseTo(2e-6, 9)
  const deep = [lone(10, 8), lone(1_010, 10)].map((one) => ({ ...one, pipelineDepth: 8 }))
  expect(estimate(config, deep, 2)!.rest).toEqual({ fixedS: 0, perEntryS: 0 })
})

test('trials without a round say nothing', () => {
  const sizes = { batchMaxBytes: 4_096, pipelineDepth: 1 }
  const trial = trialOf(0, 0, { stages: {} })
  expect(estimate(tuneOf({}), [{ ...sizes, trial }], 2)).toBeNull()
})
