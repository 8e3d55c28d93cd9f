import { expect, test } from 'vitest'
import { spreadOf } from '../../native-free-bench/stats/statistics.ts'
import {
  bestOf,
  choiceOf,
  gridOf,
  isSame,
  keyOf,
  latticeOf,
  predictedBest,
  probesOf,
  propose,
  type Search,
  type Seen,
  type Why,
} from '../../native-free-bench/tune/search.ts'
import { estimate, loadShapeOf } from '../../native-free-bench/tune/estimate.ts'
import { predictOf } from '../../native-free-bench/tune/model.ts'
import type { Sizes, TrialResult, TuneConfig } from '../../native-free-bench/types.ts'
import { type Machine, machineOf, trialsOf, truthOf, tuneOf } from './tune-machine.ts'

const KIB = 2 ** 10
const MIB = 2 ** 20

interface Point extends Sizes {
  readonly why: Why
  readonly trials: TrialResult[]
}

/** Runs a search to its end; what it chose and how many trials it took. */
async function searched(
  machine: Machine,
  config: TuneConfig,
  noise: number,
  seed: number,
  withModel = true,
) {
  const run = trialsOf(machine, noise, seed)
  const points = new Map<string, Point>()
  const lattice = latticeOf(config)
  let trials = 0
  for (;;) {
    const measured = [...points.values()].flatMap((point) =>
      point.trials.map((trial) => ({ ...point, trial })),
    )
    const model = withModel ? estimate(config, measured, 2) : null
    const load = loadShapeOf(config)
    const predict = model === null ? null : (sizes: Sizes) => predictOf(model, load, sizes)
    const seen = [...points.values()].map(seenOf)
    const { sloP99Ms } = config
    const next = propose({ lattice, given: config, sloP99Ms, seen, predict })
    if (next === null) return { choice: choiceOf(seen, sloP99Ms)!, trials, seen }
    trials += 1
    expect(trials).toBeLessThan(200)
    const { batchMaxBytes, pipelineDepth } = next.sizes
    const trial = await run({ ...config, batchMaxBytes, pipelineDepth })
    const point = points.get(keyOf(next.sizes)) ?? { ...next.sizes, why: next.why, trials: [] }
    point.trials.push(trial)
    points.set(keyOf(next.sizes), point)
  }
}

const seenOf = ({ batchMaxBytes, pipelineDepth, why, trials }: Point): Seen => ({
  ...{ batchMaxBytes, pipelineDepth, why },
  throughputPerS: spreadOf(trials.map(({ throughputPerS }) => throughputPerS)).median,
  p99Us: Math.max(...trials.map(({ latencyUs }) => latencyUs.p99)),
  trials: trials.length,
})

function bestTruth(machine: Machine, config: TuneConfig): number {
  const { batches, depths } = latticeOf(config)
  const all = batches.flatMap((batchMaxBytes) =>
    depths.map((pipelineDepth) => ({ batchMaxBytes, pipelineDepth })),
  )
  return Math.max(...all.map((sizes) => truthOf(machine, config, sizes)))
}

const overloaded = (entries: number, rounds: number): number =>
  (1 / (1 + (rounds / 24) ** 2)) * (1 / (1 + (entries / 40_000) ** 2))
const cached = (entries: number): number => (entries > 3_000 ? 0.6 : 1)
const island = (entries: number, rounds: number): number =>
  1 + 0.5 * Math.exp(-(Math.log2(rounds / 32) ** 2) - Math.log2(entries / 800) ** 2 / 4)

const MACHINES: readonly (readonly [name: string, machine: Machine])[] = [
  ['one room', machineOf(0.1, 0.2)],
  ['a metro, 5 ms', machineOf(5, 1)],
  ['across regions, 30 ms', machineOf(30, 1)],
  ['a slow disk', machineOf(0.1, 8)],
  ['many rounds and large batches overload it', machineOf(1, 1, overloaded)],
  ['large batches fall out of the cache', machineOf(1, 0.5, cached)],
  ['an island that no formula knows', machineOf(2, 0.5, island)],
]

const LOADS = [
  {},
  { payload: '1024', inflight: '16384' },
  { inflight: '1000000' },
  { payload: '100', inflight: '200' },
]

test.each(MACHINES)(
  '%s: the search comes within a twentieth of the best, under noise',
  async (_, machine) => {
    for (const load of LOADS) {
      const config = tuneOf(load)
      const least = 0.95 * bestTruth(machine, config) - 1e-6
      for (let seed = 1; seed <= 10; seed++) {
        const { choice } = await searched(machine, config, 0.03, seed)
        const where = `${JSON.stringify(load)}, seed ${seed}: ${keyOf(choice)}`
        expect(truthOf(machine, config, choice), where).toBeGreaterThanOrEqual(least)
      }
    }
  },
)

test('where sizes come in flat steps, nine seeds of ten still reach 95 %', async () => {
  const window = { payload: '1024', inflight: '200000', windowMaxBytes: '67108864' }
  const config = tuneOf(window)
  const machine = machineOf(1, 1, overloaded)
  const least = 0.95 * bestTruth(machine, config)
  let reached = 0
  for (let seed = 1; seed <= 10; seed++) {
    const { choice } = await searched(machine, config, 0.03, seed)
    if (truthOf(machine, config, choice) >= least) reached += 1
  }
  expect(reached).toBeGreaterThanOrEqual(9)
})

test('without any model the climb alone reaches 95 %', async () => {
  for (const [name, machine] of MACHINES.slice(0, 6)) {
    const config = tuneOf({})
    const { choice } = await searched(machine, config, 0.02, 1, false)
    const share = truthOf(machine, config, choice) / bestTruth(machine, config)
    expect(share, name).toBeGreaterThanOrEqual(0.95)
  }
})

test('a search takes a fraction of what the lattice has, and ends by itself', async () => {
  const config = tuneOf({})
  const { batches, depths } = latticeOf(config)
  expect(batches.length * depths.length).toBe(90)
  for (const [name, machine] of MACHINES) {
    const { trials, seen } = await searched(machine, config, 0.02, 3)
    expect(seen.length, name).toBeLessThan(60)
    expect(trials, name).toBeLessThan(75)
  }
})

// ---- What there is to choose from ------------------------------------------------------------

test('the lattice goes from a batch that holds an entry to one that holds the load', () => {
  const { batches, depths } = latticeOf(tuneOf({}))
  expect([batches[0], batches.at(-1)]).toEqual([4 * KIB, 2 * MIB])
  expect(depths).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256])
  expect(latticeOf(tuneOf({ inflight: '1' }))).toEqual({ batches: [4 * KIB], depths: [1] })
  expect(latticeOf(tuneOf({ rate: '1000' })).batches.at(-1)).toBe(4 * MIB)
  expect(latticeOf(tuneOf({ payload: '65536' })).batches[0]).toBe(128 * KIB)
  const window = latticeOf(tuneOf({ windowMaxBytes: '1048576' }))
  expect(window.batches.at(-1)).toBe(MIB)
  const whole = latticeOf(tuneOf({ payload: '1048576', windowMaxBytes: '1048576' }))
  expect(whole.batches).toEqual([MIB])
})

test('every size of a lattice makes a sound configuration', () => {
  for (const flags of [{}, { payload: '3000', api: 'propose' }, { payload: '1048576' }]) {
    const { batches, depths } = latticeOf(tuneOf(flags))
    for (const batchMaxBytes of batches)
      tuneOf({ ...flags, batchMaxBytes: `${batchMaxBytes}`, pipelineDepth: `${depths.at(-1)!}` })
  }
})

test('the grid is every second size both ways, and the given one first', () => {
  const given = { batchMaxBytes: MIB, pipelineDepth: 8 }
  const grid = gridOf(latticeOf(tuneOf({})), given)
  expect(grid).toHaveLength(1 + 5 * 5)
  expect(grid[0]).toEqual(given)
  expect(new Set(grid.map(keyOf)).size).toBe(grid.length)
})

test('probes are the given sizes, then small to large batches, alone and eight deep', () => {
  const given = { batchMaxBytes: MIB, pipelineDepth: 8 }
  expect(probesOf(latticeOf(tuneOf({})), given).map(keyOf)).toEqual([
    `${MIB} x 8`,
    ...[4 * KIB, 128 * KIB, 2 * MIB].map((size) => `${size} x 1`),
    ...[4 * KIB, 128 * KIB, 2 * MIB].map((size) => `${size} x 8`),
  ])
})

// ---- What is proposed, and chosen ------------------------------------------------------------

const seenAt = (batch: number, depth: number, throughput: number, p99Ms = 1, trials = 3): Seen => ({
  batchMaxBytes: batch,
  pipelineDepth: depth,
  throughputPerS: throughput,
  p99Us: p99Ms * 1e3,
  trials,
  why: 'probe',
})

const searchOf = (seen: readonly Seen[], more: Partial<Search> = {}): Search => ({
  lattice: { batches: [4, 8, 16, 32], depths: [1, 2, 4, 8] },
  given: { batchMaxBytes: 16, pipelineDepth: 8 },
  sloP99Ms: null,
  seen,
  predict: null,
  ...more,
})

const probed = (): Seen[] =>
  probesOf(searchOf([]).lattice, searchOf([]).given).map(({ batchMaxBytes, pipelineDepth }) =>
    seenAt(batchMaxBytes, pipelineDepth, 100),
  )

test('of what the model takes for equal, the least depth and the smallest batch come first', () => {
  const predict = ({ batchMaxBytes, pipelineDepth }: Sizes): number =>
    Math.min(8, batchMaxBytes) * Math.min(2, pipelineDepth)
  expect(predictedBest(searchOf([], { predict }))).toEqual({ batchMaxBytes: 8, pipelineDepth: 2 })
  const seen = probed()
  expect(propose(searchOf(seen, { predict }))).toMatchObject({
    sizes: { batchMaxBytes: 8, pipelineDepth: 2 },
    why: 'model',
  })
})

test('the climb starts at the best, and looks first where the model promises most', () => {
  const seen = [...probed(), seenAt(8, 2, 200)]
  const predict = ({ batchMaxBytes, pipelineDepth }: Sizes): number =>
    batchMaxBytes === 8 && pipelineDepth === 4 ? 9 : 1
  expect(propose(searchOf(seen, { predict }))).toEqual({
    sizes: { batchMaxBytes: 8, pipelineDepth: 4 },
    why: expect.stringMatching(/model|climb/) as Why,
  })
})

test('contenders are measured three times, the least measured first; others are not', () => {
  const { batches, depths } = searchOf([]).lattice
  const seen = batches.flatMap((batch) => depths.map((depth) => seenAt(batch, depth, 50, 1, 1)))
  seen[5] = seenAt(8, 2, 100, 1, 2)
  seen[6] = seenAt(8, 4, 97, 1, 1)
  expect(propose(searchOf(seen))).toMatchObject({ sizes: seen[6], why: 'again' })
  seen[6] = seenAt(8, 4, 97, 1, 3)
  expect(propose(searchOf(seen))).toMatchObject({ sizes: seen[5], why: 'again' })
  seen[5] = seenAt(8, 2, 100, 1, 3)
  expect(propose(searchOf(seen))).toBeNull()
})

test('with a bound on p99 the most throughput that keeps it wins, and only that', () => {
  const seen = [seenAt(4, 1, 10, 1), seenAt(8, 2, 50, 4), seenAt(16, 4, 90, 20)]
  expect(bestOf(seen, null)).toBe(seen[2])
  expect(bestOf(seen, 5)).toBe(seen[1])
  expect(bestOf(seen.toReversed(), 5)).toBe(seen[1])
  expect(choiceOf(seen, 5)).toBe(seen[1])
})

test('when nothing keeps the bound, the search goes where p99 is lowest', () => {
  const seen = [seenAt(4, 1, 10, 7), seenAt(8, 2, 50, 9)]
  expect(bestOf(seen, 5)).toBe(seen[0])
})

test('of points that are as good, the choice is the one of lower p99', () => {
  const seen = [seenAt(4, 1, 100, 9), seenAt(8, 2, 99, 3), seenAt(16, 4, 97, 1)]
  expect(isSame(choiceOf(seen, null)!, seen[1]!)).toBe(true)
  expect(choiceOf([], null)).toBeNull()
})
