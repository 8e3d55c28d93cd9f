/** The run around a search: time, interrupts, fresh trials, bounds on p99; no engine, no clock. */
import { expect, test } from 'vitest'
import { parseBench } from '../../native-free-bench/options.ts'
import { tuneText } from '../../native-free-bench/report/tune-text.ts'
import { runTune } from '../../native-free-bench/tune/run-tune.ts'
import { gridOf, keyOf, latticeOf } from '../../native-free-bench/tune/search.ts'
import { tunedConfigOf } from '../../native-free-bench/tune/tuned-config.ts'
import type { BenchConfig, RunTrial, TuneConfig } from '../../native-free-bench/types.ts'
import { schemaProblems } from '../../src/cli/schemas.ts'
import { hooksOf, trialOf } from './report-fixtures.ts'
import { type Machine, machineOf, trialsOf, truthOf, tuneOf } from './tune-machine.ts'

const METRO = machineOf(5, 1, (_, rounds) => 1 / (1 + (rounds / 40) ** 2))
const TRIAL_S = 1.5

/** A clock that only trials move, each by as long as it takes. */
function clocked(run: RunTrial, tookS: (trial: number) => number = () => TRIAL_S) {
  let nowS = 1_000
  const ran: BenchConfig[] = []
  const runTrial: RunTrial = async (config, hooks) => {
    ran.push(config)
    nowS += tookS(ran.length)
    return run(config, hooks)
  }
  return { runTrial, nowS: () => nowS, ran, elapsedS: () => nowS - 1_000 }
}

async function tuned(
  flags: Readonly<Record<string, unknown>>,
  machine: Machine = METRO,
  noise = 0.02,
) {
  const config = tuneOf(flags)
  const clock = clocked(trialsOf(machine, noise, 7))
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  return { config, result, ...clock }
}

const shareOf = (
  machine: Machine,
  config: TuneConfig,
  sizes: { batchMaxBytes: number; pipelineDepth: number },
): number => {
  const { batches, depths } = latticeOf(config)
  const all = batches.flatMap((batchMaxBytes) =>
    depths.map((pipelineDepth) => truthOf(machine, config, { batchMaxBytes, pipelineDepth })),
  )
  return truthOf(machine, config, sizes) / Math.max(...all)
}

test('a minute of trials finds sizes within a twentieth of the best', async () => {
  const { config, result, ran } = await tuned({ inflight: '1000000' })
  expect(shareOf(METRO, config, result.best!)).toBeGreaterThanOrEqual(0.95)
  expect(shareOf(METRO, config, result.searchBest!)).toBeGreaterThanOrEqual(0.95)
  expect(schemaProblems(JSON.parse(JSON.stringify(result)) as typeof result)).toEqual([])
  expect(result).toMatchObject({ adaptive: null, gridBest: null, partial: false, violations: [] })
  expect(result.points[0]).toMatchObject({ batchMaxBytes: 2 ** 20, pipelineDepth: 8 })
  expect(result.points.every((point) => point.predictedThroughputPerS! > 0)).toBe(true)
  expect(ran.every(({ engine, duration }) => engine === 'xpaxos' && duration === 0.5)).toBe(true)
})

test.each([5, 20, 60])('a budget of %d s is kept, fresh trials included', async (budget) => {
  const { result, elapsedS } = await tuned({ budget: String(budget), inflight: '1000000' })
  expect(elapsedS()).toBeLessThanOrEqual(budget)
  expect(elapsedS()).toBeGreaterThan(budget / 2)
  expect(result.best).not.toBeNull()
  expect(result.validation.length).toBeGreaterThan(0)
})

test('a budget of one trial gives the given sizes, and says that it ended there', async () => {
  const { result, ran } = await tuned({ budget: '2' })
  expect(ran).toHaveLength(1)
  expect(result.points.map(keyOf)).toEqual([`${2 ** 20} x 8`])
  expect(result.best).toMatchObject({ batchMaxBytes: 2 ** 20, pipelineDepth: 8, trials: 1 })
  expect(result.validation).toEqual([])
  expect(result.rationale.at(-1)).toContain('The budget ended the search after one pair of sizes')
})

test('trials that take longer and longer do not carry the run past its budget', async () => {
  const config = tuneOf({ budget: '30' })
  const clock = clocked(trialsOf(METRO, 0, 1), (trial) => 1 + trial / 10)
  await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(clock.elapsedS()).toBeLessThanOrEqual(30)
})

test('fresh trials alternate between the given and the found sizes, forth and back', async () => {
  const { result, ran } = await tuned({ inflight: '1000000', trials: '3' })
  const names = ran.slice(-6).map((config) => (keyOf(config) === keyOf(ran[0]!) ? 'A' : 'B'))
  expect(names.join('')).toBe('ABBAAB')
  const [given, found] = result.validation
  expect(given).toMatchObject({ lane: 'given', ratio: { median: 1 }, p: null })
  expect(found).toMatchObject({ lane: 'search', throughputs: { length: 3 } })
  expect(found!.ratio.median).toBeGreaterThan(1)
  expect(result.best).toMatchObject({ trials: 3, throughputPerS: found!.throughputPerS.median })
})

test('sizes that are given are tried first and compared with', async () => {
  const { result } = await tuned({ batchMaxBytes: '5000', pipelineDepth: '3' })
  expect(result.points[0]).toMatchObject({ batchMaxBytes: 5_000, pipelineDepth: 3 })
  expect(result.validation[0]).toMatchObject({ batchMaxBytes: 5_000, lane: 'given' })
  expect(result.validation[1]!.ratio.median).toBeGreaterThan(2)
})

test('when the fresh trials favour the given sizes, those are best', async () => {
  let count = 0
  const lucky: RunTrial = async ({ pipelineDepth }) => {
    count += 1
    const isGiven = pipelineDepth === 8
    return trialOf(count <= 40 && !isGiven ? 2e6 : isGiven ? 1e6 : 5e5, 100)
  }
  const clock = clocked(lucky)
  const config = tuneOf({ budget: '86400', trials: '40' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result.best).toMatchObject({ pipelineDepth: 8 })
  expect(result.searchBest!.pipelineDepth).not.toBe(8)
})

test('--grid measures all of the grid, and tries the best of it too', async () => {
  const { config, result, ran } = await tuned({ grid: true, inflight: '1000000' })
  const grid = gridOf(latticeOf(config), config).map(keyOf)
  expect(result.points.map(keyOf)).toEqual(expect.arrayContaining(grid))
  expect(result.gridBest).not.toBeNull()
  const share = truthOf(METRO, config, result.best!) / truthOf(METRO, config, result.gridBest!)
  expect(share).toBeGreaterThanOrEqual(0.95)
  expect(ran.length).toBeGreaterThan(grid.length)
  expect(result.rationale.join('\n')).toMatch(/The best of the grid is .* the search alone came to/)
})

test('a grid that the budget ends says how much of it is missing', async () => {
  const { result, elapsedS } = await tuned({ grid: true, budget: '70', trials: '1' })
  expect(elapsedS()).toBeLessThanOrEqual(70)
  expect(result.rationale.join('\n')).toMatch(/\d+ points of the grid were not measured/)
})

// ---- A bound on p99 --------------------------------------------------------------------------

/** Throughput grows with the depth, and p99 as well. */
const deep: RunTrial = async ({ pipelineDepth }) =>
  trialOf(100_000 * pipelineDepth, 1_000 * pipelineDepth)

test('with --slo-p99-ms the most throughput that keeps it is best', async () => {
  const clock = clocked(deep)
  const config = tuneOf({ sloP99Ms: '20' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result.best).toMatchObject({ pipelineDepth: 16 })
  expect(result.rationale[0]).toContain('the most that keeps p99 <= 20.0 ms')
})

test('sizes that break the bound in their second trial are not chosen', async () => {
  const seen = new Set<string>()
  const clock = clocked(async (sizes) => {
    const isAgain = seen.has(keyOf(sizes))
    seen.add(keyOf(sizes))
    return sizes.pipelineDepth === 1 ? trialOf(1e5, 900) : trialOf(2e5, isAgain ? 1_500 : 900)
  })
  const config = tuneOf({ sloP99Ms: '1', budget: '86400' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result.searchBest).toMatchObject({ pipelineDepth: 1 })
})

test('when no sizes keep the bound there is no best, and the lowest p99 is told', async () => {
  const clock = clocked(deep)
  const config = tuneOf({ sloP99Ms: '0.5' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result).toMatchObject({ best: null, searchBest: null, validation: [], partial: false })
  expect(result.points.length).toBeGreaterThan(3)
  expect(result.rationale.slice(0, 2)).toEqual([
    expect.stringMatching(/^Of \d+ pairs of sizes measured none keeps p99 <= 0\.50 ms\.$/),
    expect.stringMatching(
      /^The lowest p99 was 1\.00 ms, batches up to .* with one round in flight\.$/,
    ),
  ])
  expect(tuneText(result)).toContain('none keeps p99')
})

test('a trial in which nothing was acknowledged keeps no bound', async () => {
  const clock = clocked(async ({ pipelineDepth }) =>
    pipelineDepth === 1 ? trialOf(0, 0) : trialOf(1e5, 5_000),
  )
  const config = tuneOf({ sloP99Ms: '1' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result.best).toBeNull()
  expect(result.rationale[1]).toContain('The lowest p99 was 5.00 ms')
  for (const dead of [config, tuneOf({})]) {
    const { runTrial, nowS } = clocked(async () => trialOf(0, 0))
    const none = await runTune(dead, hooksOf(), runTrial, nowS)
    expect(none).toMatchObject({ best: null, validation: [] })
    expect(none.rationale[0]).toBe('Nothing was acknowledged in any trial.')
  }
})

test('sizes that keep the bound in the search and not in fresh trials are not best', async () => {
  let count = 0
  const clock = clocked(async () => trialOf(1e6, ++count <= 60 ? 900 : 5_000))
  const config = tuneOf({ sloP99Ms: '1', budget: '86400', trials: '99' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result.searchBest).not.toBeNull()
  expect(result.best).toBeNull()
  expect(result.rationale[0]).toContain('in the search, not in fresh trials')
})

// ---- Interrupts and failures -----------------------------------------------------------------

test.each([2, 5, 25])('an interrupt in trial %d keeps what was measured', async (at) => {
  const interrupt = new AbortController()
  const run = trialsOf(METRO, 0, 1)
  let count = 0
  const clock = clocked(async (config) => {
    if (++count === at) {
      interrupt.abort()
      throw new Error('stopped')
    }
    return run(config)
  })
  const config = tuneOf({ inflight: '1000000' })
  const result = await runTune(config, hooksOf(interrupt.signal), clock.runTrial, clock.nowS)
  expect(clock.ran).toHaveLength(at)
  expect(result.partial).toBe(true)
  expect(result.points.length).toBeGreaterThan(0)
  expect(result.best).not.toBeNull()
  expect(result.rationale.at(-1)).toContain('Interrupted after')
  expect(schemaProblems(result)).toEqual([])
})

test('an interrupt before the first trial ends leaves nothing, and says so', async () => {
  const interrupt = new AbortController()
  const clock = clocked(async () => {
    interrupt.abort()
    return { ...trialOf(1, 1), partial: true }
  })
  const result = await runTune(tuneOf({}), hooksOf(interrupt.signal), clock.runTrial, clock.nowS)
  expect(result).toMatchObject({ best: null, points: [], model: null, partial: true })
  expect(result.rationale).toEqual(['Nothing was measured.'])
  expect(schemaProblems(result)).toEqual([])
  expect(tuneText(result)).toContain('interrupted: the result is partial')
})

test('an interrupt in the middle of fresh trials keeps those that are complete', async () => {
  const interrupt = new AbortController()
  const run = trialsOf(METRO, 0, 1)
  const whole = await tuned({ inflight: '1000000' }, METRO, 0)
  const at = whole.ran.length - 1
  let count = 0
  const clock = clocked(async (config) => {
    if (++count === at) interrupt.abort()
    return { ...(await run(config)), partial: interrupt.signal.aborted }
  })
  const config = tuneOf({ inflight: '1000000' })
  const result = await runTune(config, hooksOf(interrupt.signal), clock.runTrial, clock.nowS)
  expect(result.partial).toBe(true)
  expect(result.validation.map(({ throughputs }) => throughputs.length)).toEqual([4, 4])
})

test('a failure that is no interrupt is thrown as it came', async () => {
  const failing: RunTrial = () => Promise.reject(new Error('disk'))
  await expect(runTune(tuneOf({}), hooksOf(), failing)).rejects.toThrow('disk')
})

test('a broken promise in any trial is named with its sizes', async () => {
  const clock = clocked(async ({ pipelineDepth }) => {
    const trial = trialOf(1_000, 10)
    return { ...trial, safety: { ...trial.safety, entriesLost: pipelineDepth === 1 ? 2 : 0 } }
  })
  const config = tuneOf({ budget: '20' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  const want = 'batches of 4096 bytes, depth 1: 2 acknowledged entries lost'
  expect(result.violations).toContain(want)
  expect(tuneText(result).startsWith(`SAFETY VIOLATION: ${want}\n`)).toBe(true)
})

test('best inflight is swept first, and what it found is the load', async () => {
  const clock = clocked(trialsOf(METRO, 0, 1))
  const config = tuneOf({ inflight: 'best', budget: '120' })
  const result = await runTune(config, hooksOf(), clock.runTrial, clock.nowS)
  expect(result.sweep.length).toBeGreaterThan(3)
  expect(result.config.inflight).toBeTypeOf('number')
  expect(clock.elapsedS()).toBeLessThanOrEqual(120)
})

// ---- The file --------------------------------------------------------------------------------

test('the file holds the sizes alone, and bench takes them from it', async () => {
  const { result } = await tuned({ inflight: '1000000', payload: '32' })
  const file: unknown = JSON.parse(JSON.stringify(tunedConfigOf(result.config, result.best!)))
  const { batchMaxBytes, pipelineDepth } = result.best!
  expect(file).toEqual({ schema: 'xpaxos-config/1', batchMaxBytes, pipelineDepth })
  const { config, problems } = parseBench({ flags: {}, file })
  expect(problems).toEqual([])
  expect(config).toMatchObject({ batchMaxBytes, pipelineDepth, payload: 16 })
})

test('sizes of the engine that were not at their defaults are in the file too', () => {
  const config = tuneOf({ windowMaxBytes: '16777216', batchLingerUs: '50' })
  expect(tunedConfigOf(config, { batchMaxBytes: 8_192, pipelineDepth: 2 })).toEqual({
    schema: 'xpaxos-config/1',
    ...{ batchMaxBytes: 8_192, pipelineDepth: 2, windowMaxBytes: 16_777_216, batchLingerUs: 50 },
  })
})
