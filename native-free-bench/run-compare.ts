/**
 * compare: several engines under one load, each at its own best inflight unless one is given.
 * Rounds run forth and back (ABBA), so that a machine that warms up or slows down favours nobody;
 * a ratio is of two trials of one round. An interrupt keeps what is complete.
 */
import { compareCommand } from './command-of.ts'
import { environmentOf } from './environment.ts'
import { type Rung, ladderOf } from './ladder.ts'
import { publicBench, publicCompare, rowsOf } from './options.ts'
import { violationsOf } from './report/safety.ts'
import { checkDisk, fixInflight, summaryOf, tryTrial } from './run-bench.ts'
import { bootstrap, mannWhitney } from './stats/statistics.ts'
import type {
  BenchConfig,
  CompareConfig,
  CompareResult,
  CompareRow,
  RunHooks,
  RunTrial,
  SweepPoint,
  TrialResult,
} from './types.ts'

interface Lane {
  readonly label: string
  readonly config: BenchConfig
  readonly sweep: readonly SweepPoint[]
  readonly trials: TrialResult[]
}

export async function runCompare(
  config: CompareConfig,
  hooks: RunHooks,
  runTrial: RunTrial,
): Promise<CompareResult> {
  const notes = checkDisk(config)
  const environment = environmentOf(config.dataDir ?? '.', new Date())
  const violations: string[] = []
  const lanes: Lane[] = []
  for (const { label, config: row } of lanesOf(config)) {
    const { fixed, sweep } = await fixInflight(row, hooks, runTrial)
    violations.push(...sweep.violations)
    if (fixed !== undefined) lanes.push({ label, config: fixed, sweep: sweep.points, trials: [] })
  }
  await runRounds(lanes, config.trials, notes, violations, hooks, runTrial)
  const rows = lanes.filter(({ trials }) => trials.length > 0)
  return {
    schema: 'xpaxos-compare/1',
    command: compareCommand(publicCompare(config)),
    environment,
    config: publicCompare(config),
    rows: rows.map((lane) => rowOf(lane, rows[0]!, config.seed)),
    violations,
    partial: hooks.signal.aborted || lanes.some(({ trials }) => trials.length < config.trials),
  }
}

const lanesOf = (config: CompareConfig): Rung[] =>
  config.ladder
    ? ladderOf(config)
    : rowsOf(config).map((row) => ({ label: row.engine, config: row }))

/** Round by round, each in the opposite order of the last; a partial trial is not compared. */
async function runRounds(
  lanes: readonly Lane[],
  rounds: number,
  notes: readonly string[],
  violations: string[],
  hooks: RunHooks,
  runTrial: RunTrial,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const lane of round % 2 === 0 ? lanes : lanes.toReversed()) {
      if (hooks.signal.aborted) return
      const label = `${lane.label}, trial ${round + 1}`
      hooks.progress(`${label} of ${rounds}`)
      const trial = await tryTrial(lane.config, hooks, runTrial)
      if (trial === undefined) return
      violations.push(...violationsOf(trial, label))
      if (trial.partial) return
      lane.trials.push({ ...trial, warnings: [...notes, ...trial.warnings] })
    }
  }
}

function rowOf(lane: Lane, first: Lane, seed: number): CompareRow {
  const { label, config, sweep, trials } = lane
  const isFirst = lane === first
  const mine = trials.map(({ throughputPerS }) => throughputPerS)
  const theirs = first.trials.map(({ throughputPerS }) => throughputPerS)
  // An interrupt can leave one side a round ahead: only whole rounds have a ratio.
  const ratios = mine.slice(0, theirs.length).map((value, i) => value / theirs[i]!)
  return {
    label,
    engine: config.engine,
    config: publicBench(config),
    sweep,
    trials,
    ...summaryOf(trials),
    ratio: isFirst ? { median: 1, low: 1, high: 1 } : bootstrap(ratios, seed),
    p: isFirst ? null : mannWhitney(mine, theirs).p,
  }
}
