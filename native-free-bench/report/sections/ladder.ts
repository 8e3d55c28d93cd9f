/** The ladder: from one value at a time to the whole engine, and what each step bought. Pure. */
import { bootstrap, type Interval } from '../../stats/statistics.ts'
import { barChart } from '../charts/bars.ts'
import type { Chart } from '../charts/svg.ts'
import { type Block, charts, type Section, words } from '../document.ts'
import type { CompareView, RowView } from '../model.ts'
import { digits, latency, perSecond, rateTick, whole } from '../units.ts'
import { alarmsOf, idOf, loadText, noiseBlocks, sourceBlock } from './source.ts'

/** What a rung changes, for who has not met it; rungs are named in native-free-bench/ladder.ts. */
const IDEAS: Readonly<Record<string, string>> = {
  'basic-paxos, one at a time': 'every value alone: two rounds and two syncs before the next',
  'basic-paxos': 'many values at once, each still with rounds of its own; syncs are shared',
  '+ unique proposer':
    'a leader that stays needs one round a value, not two; it sends one at a time, so compare ' +
    'it with the first step',
  '+ pipelining': 'the next round leaves before the last one is answered',
  '+ batching': 'many entries share one round and one sync',
  '+ worker threads': 'stages run side by side on threads of their own',
  '+ adaptive': 'sizes of batch and pipeline follow the load',
}

interface Step {
  readonly row: RowView
  /** To the rung before; null: the first. */
  readonly factor: Interval | null
}

export function ladderSection(ladders: readonly CompareView[]): Section {
  const blocks = ladders.flatMap((ladder, i) => [
    ...(i > 0 ? [titleOf(ladder)] : []),
    ...ladderBlocks(ladder),
  ])
  return {
    id: 'ladder',
    title: 'Which idea bought what',
    question: 'From Basic Paxos to the whole engine, one change a step: what does each one buy?',
    blocks: ladders.length > 0 ? blocks : [ABSENT],
  }
}

const ABSENT: Block = {
  kind: 'absent',
  text: 'No ladder is in this folder.',
  command: 'xpaxos compare --ladder --json FOLDER/ladder.json',
}

const titleOf = ({ rows }: CompareView): Block => ({
  kind: 'title',
  text: rows[0] === undefined ? 'Nothing measured' : loadText(rows[0].config),
})

function ladderBlocks(ladder: CompareView): Block[] {
  const { rows, origin } = ladder
  const first = rows[0]
  const alarms = alarmsOf(
    [origin],
    rows.map(({ config }) => config),
  )
  if (first === undefined) return [...alarms, sourceBlock([origin])]
  const steps = stepsOf(ladder)
  const trials = rows.flatMap((row) => row.trials)
  return [
    ...alarms,
    words(`${loadText(first.config)}. Each step but the first at its best number in flight.`),
    charts([ladderChart(ladder)], steps.map(stepText)),
    { kind: 'table', table: tableOf(steps), isOpen: false },
    ...noiseBlocks(rows),
    sourceBlock([origin], trials),
  ]
}

export function stepsOf({ rows, config: { seed } }: CompareView): Step[] {
  return rows.map((row, i) => {
    const before = rows[i - 1]
    return { row, factor: before === undefined ? null : factorOf(row, before, seed) }
  })
}

/** Trials of one round are compared with each other, as `ratio` is. */
function factorOf(row: RowView, before: RowView, seed: number): Interval {
  const theirs = before.trials.map(({ throughputPerS }) => throughputPerS)
  const mine = row.trials.map(({ throughputPerS }) => throughputPerS).slice(0, theirs.length)
  const factors = mine.map((value, i) => value / theirs[i]!).filter(Number.isFinite)
  if (factors.length > 0) return bootstrap(factors, seed)
  const median = row.throughputPerS.median / before.throughputPerS.median
  return { median, low: median, high: median }
}

/** Also what a README shows. */
export function ladderChart(ladder: CompareView): Chart {
  const bars = stepsOf(ladder).map(({ row, factor }) => {
    const { median, min, max } = row.throughputPerS
    const times = factor === null ? '' : `, x ${digits(factor.median)}`
    return {
      ...{ label: row.label, series: row.engine, value: median, low: min, high: max },
      text: `${perSecond(median)}${times}`,
    }
  })
  const told = bars.map(({ label, text }) => `${label}: ${text}`).join('; ')
  return barChart(
    {
      id: idOf(ladder.origin.file, 'ladder'),
      title: 'Entries a second, and times the step before',
      note: 'thin lines: from the worst trial to the best',
      desc: `Median of trials, with their range as a thin line. ${told}.`,
      tickText: rateTick,
    },
    bars,
  )
}

function stepText({ row, factor }: Step): string {
  const idea = IDEAS[row.label]
  const what = idea === undefined ? row.label : `${row.label}: ${idea}`
  if (factor === null) return `${what}. ${perSecond(row.throughputPerS.median)}.`
  const toFirst = `${times(row.ratio.median)} the first step.`
  return `${what}. ${boughtText(factor)} ${toFirst}`
}

const times = (factor: number): string =>
  `${factor >= 1_000 ? whole(factor) : digits(factor)} times`

/** A factor whose interval holds 1 is not told from none. */
function boughtText({ median, low, high }: Interval): string {
  const interval = `95 % interval ${digits(low)} to ${digits(high)}`
  if (low <= 1 && high >= 1) return `No difference that these trials can tell (${interval});`
  return `${times(median)} the step before (${interval});`
}

function tableOf(steps: readonly Step[]) {
  const head = ['step', 'in flight', 'a second', 'to the step before', 'to the first', 'p50', 'p99']
  const rows = steps.map(({ row, factor }) => [
    row.label,
    `${row.config.inflight ?? '-'}`,
    perSecond(row.throughputPerS.median),
    factor === null
      ? '-'
      : `${digits(factor.median)} (${digits(factor.low)} to ${digits(factor.high)})`,
    digits(row.ratio.median),
    latency(row.latencyUs.p50.median),
    latency(row.latencyUs.p99.median),
  ])
  return { caption: 'Each step, medians of trials', head, rows }
}
