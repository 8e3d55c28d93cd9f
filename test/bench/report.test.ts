import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isTmpfs, mountOf } from '../../native-free-bench/environment.ts'
import { violationsOf } from '../../native-free-bench/report/safety.ts'
import { benchText, compareText, table } from '../../native-free-bench/report/text.ts'
import { latency, perSecond, probability } from '../../native-free-bench/report/units.ts'
import { writeResults } from '../../native-free-bench/results.ts'
import { runBench } from '../../native-free-bench/run-bench.ts'
import { runCompare } from '../../native-free-bench/run-compare.ts'
import { runSuites } from '../../native-free-bench/run-suite.ts'
import { SUITES } from '../../native-free-bench/suites/all.ts'
import type { BenchConfig, CompareResult, RunTrial } from '../../native-free-bench/types.ts'
import { benchOf, compareOf, ENVIRONMENT, hooksOf, trialOf } from './report-fixtures.ts'

/** Saturates at an inflight of 64; xpaxos is 600 times basic-paxos. */
const fake: RunTrial = async ({ engine, inflight }: BenchConfig) => {
  const base = { 'basic-paxos': 20_000, 'multi-paxos': 9_000, xpaxos: 12e6, limit: 20e6 }[engine]
  const load = inflight as number
  const throughput = load <= 64 ? (base * load) / 64 : base * (1 - load / 1e6)
  return trialOf(throughput, 100 + load)
}

const compared = async (): Promise<CompareResult> => ({
  ...(await runCompare(compareOf({ trials: '4' }), hooksOf(), fake)),
  environment: ENVIRONMENT,
})

test.each([
  [perSecond(12_345_678), '12.3 M/s'],
  [perSecond(999), '999 /s'],
  [perSecond(999_950), '1.00 M/s'],
  [perSecond(0), '0 /s'],
  [latency(42), '42.0 us'],
  [latency(420), '0.42 ms'],
  [latency(2.5e6), '2.50 s'],
  [probability(0.0079), '0.008'],
  [probability(0.0001), '< 0.001'],
])('%s reads as %s', (text, want) => {
  expect(text).toBe(want)
})

test('tables align the first column left and figures right', () => {
  expect(
    table([
      ['a', 'b'],
      ['long', '1'],
      ['x', '100'],
    ]),
  ).toBe('a       b\nlong    1\nx     100\n')
})

test('bench: trials, median, busiest stage and checks are on the page', async () => {
  const result = await runBench(benchOf({ inflight: '64', trials: '2' }), hooksOf(), fake)
  expect(benchText(result)).toMatchSnapshot()
})

test('bench: best sweeps in powers of four, stops past the peak, and uses the peak', async () => {
  const result = await runBench(benchOf({ inflight: 'best' }), hooksOf(), fake)
  expect(result.sweep.map(({ inflight }) => inflight)).toEqual([1, 4, 16, 64, 256, 1024])
  expect(result.config.inflight).toBe(64)
  expect(result.summary!.throughputPerS.median).toBe(12e6)
})

test('bench: probes are short and free of kills, trials are as asked', async () => {
  const seen: BenchConfig[] = []
  const config = benchOf({ inflight: 'best', killNode: '2@3', trials: '2', clients: '4' })
  await runBench(config, hooksOf(), async (one, hooks) => {
    seen.push(one)
    return fake(one, hooks)
  })
  const probes = seen.slice(0, -2)
  expect(probes.every(({ duration, killNode }) => duration < 1 && killNode === null)).toBe(true)
  expect(probes[0]!.inflight).toBe(4) // one entry a client at least
  expect(seen.slice(-2)).toEqual([
    { ...config, inflight: 64 },
    { ...config, inflight: 64 },
  ])
})

test('bench: an interrupt keeps complete trials and marks the result partial', async () => {
  const interrupt = new AbortController()
  let count = 0
  const result = await runBench(
    benchOf({ inflight: '64', trials: '5' }),
    hooksOf(interrupt.signal),
    async (config, hooks) => {
      if (++count === 3) {
        interrupt.abort()
        throw new Error('stopped')
      }
      return fake(config, hooks)
    },
  )
  expect(result).toMatchObject({ partial: true, trials: [{}, {}] })
})

test('bench: a failure that is no interrupt is thrown as it came', async () => {
  const failing: RunTrial = () => Promise.reject(new Error('disk'))
  await expect(runBench(benchOf({}), hooksOf(), failing)).rejects.toThrow('disk')
})

test('bench: a violation in a probe counts, and violations are printed first', async () => {
  const lossy: RunTrial = async ({ inflight }) => {
    const trial = trialOf(1000, 10)
    const safety = { ...trial.safety, entriesLost: inflight === 4 ? 2 : 0 }
    return { ...trial, safety }
  }
  const result = await runBench(benchOf({ inflight: 'best' }), hooksOf(), lossy)
  const want = 'xpaxos, probe with inflight 4: 2 acknowledged entries lost'
  expect(result.violations).toEqual([want])
  expect(benchText(result).startsWith(`SAFETY VIOLATION: ${want}\n`)).toBe(true)
})

test('every unsafe figure of a trial is a violation', () => {
  const trial = trialOf(10, 1, {
    safety: {
      checkedEntries: 9,
      entriesLost: 1,
      duplicates: 2,
      stateHashesEqual: false,
      violations: 2,
      violationDetails: ['gap at 5'],
    },
  })
  expect(violationsOf(trial, 't')).toEqual([
    't: gap at 5',
    't: 1 more violations',
    't: 1 acknowledged entries lost',
    't: 2 entries applied twice',
    't: state hashes of the data nodes differ',
    't: 9 entries checked of 10 acknowledged',
  ])
})

test('fsync on a tmpfs is refused, and runs with a warning when allowed', async () => {
  if (!isTmpfs('/dev/shm')) return
  const flags = { durability: 'fsync', dataDir: '/dev/shm/none', inflight: '64' }
  await expect(runBench(benchOf(flags), hooksOf(), fake)).rejects.toMatchObject({
    code: 'E_CONFIG_INVALID',
  })
  const result = await runBench(benchOf({ ...flags, allowTmpfs: true }), hooksOf(), fake)
  expect(result.trials[0]!.warnings).toEqual([expect.stringContaining('tmpfs')])
  expect(JSON.stringify(result)).not.toContain('/dev/shm')
})

test('the file system and device of a path are those of the longest mount above it', () => {
  const mounts = 'a / ext4 rw\nb /data xfs rw\nc /data/my\\040disk tmpfs rw\nd /data xfs2 rw\n'
  expect(mountOf('/home', mounts)).toEqual({ device: 'a', name: 'ext4' })
  expect(mountOf('/data/x', mounts)).toEqual({ device: 'd', name: 'xfs2' })
  expect(mountOf('/database', mounts).name).toBe('ext4')
  expect(mountOf('/data/my disk/x', mounts).name).toBe('tmpfs')
  expect(mountOf('/', '')).toEqual({ device: '', name: 'unknown' })
})

test('compare: rounds alternate, so that no engine is always first', async () => {
  const order: string[] = []
  const config = compareOf({ engines: 'basic-paxos,limit', trials: '3', inflight: '64' })
  await runCompare(config, hooksOf(), async (one, hooks) => {
    order.push(one.engine === 'limit' ? 'B' : 'A')
    return fake(one, hooks)
  })
  expect(order.join('')).toBe('ABBAAB')
})

test('compare: the first engine is the unit, others have a ratio and a p', async () => {
  const { rows } = await compared()
  expect(rows.map(({ ratio, p }) => [ratio.median, p === null])).toEqual([
    [1, true],
    [0.45, false],
    [600, false],
    [1000, false],
  ])
  expect(rows.every(({ config }) => config.inflight === 64)).toBe(true)
})

test('compare: an interrupt keeps whole trials of the engines that have any', async () => {
  const interrupt = new AbortController()
  let count = 0
  const config = compareOf({ engines: 'xpaxos,limit', inflight: '64' })
  const result = await runCompare(config, hooksOf(interrupt.signal), async (one, hooks) => {
    if (++count === 4) interrupt.abort()
    return { ...(await fake(one, hooks)), partial: interrupt.signal.aborted }
  })
  expect(result.partial).toBe(true)
  expect(result.rows.map(({ trials }) => trials.length)).toEqual([1, 2])
})

test('compare: the page reads as a table', async () => {
  expect(compareText(await compared())).toMatchSnapshot()
})

test('results are a folder of date and commit, and a second run does not replace it', async () => {
  const out = mkdtempSync(join(tmpdir(), 'xpaxos-results-'))
  try {
    const compare = await compared()
    const suites = await runSuites(SUITES.slice(-1), hooksOf(), 5)
    expect(suites.suites[0]!.rows.map(({ name }) => name)).toContain('record')
    const write = (): string =>
      writeResults(out, ENVIRONMENT, { compare, suites }, (dir) =>
        writeFileSync(join(dir, 'summary.md'), readdirSync(dir).sort().join()),
      )
    expect(write()).toBe('2026-01-02-0123456')
    expect(write()).toBe('2026-01-02-0123456-2')
    expect(readdirSync(out).sort()).toEqual(['2026-01-02-0123456', '2026-01-02-0123456-2'])
    const folder = join(out, '2026-01-02-0123456')
    expect(readFileSync(join(folder, 'summary.md'), 'utf8')).toBe(
      'compare.json,environment.json,suites.json', // what is made of the files finds them
    )
  } finally {
    rmSync(out, { recursive: true })
  }
})

test('results whose report fails leave nothing behind', async () => {
  const out = mkdtempSync(join(tmpdir(), 'xpaxos-results-'))
  const write = (): string =>
    writeResults(out, ENVIRONMENT, {}, () => {
      throw new Error('disk')
    })
  expect(write).toThrow('disk')
  expect(readdirSync(out)).toEqual([])
  rmSync(out, { recursive: true })
})
