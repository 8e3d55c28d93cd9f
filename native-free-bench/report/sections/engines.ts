/** Engines side by side: throughput and latency with the range of their trials. Pure. */
import { barChart, rangeChart } from '../charts/bars.ts'
import { lineChart } from '../charts/lines.ts'
import type { Chart } from '../charts/svg.ts'
import type { EngineName } from '../../types.ts'
import { type Block, charts, type Section, words } from '../document.ts'
import type { CompareView, RowView } from '../model.ts'
import {
  digits,
  latency,
  latencyTick,
  percent,
  perSecond,
  probability,
  rateTick,
  whole,
} from '../units.ts'
import { busyBlocks } from './busy.ts'
import { alarmsOf, idOf, loadText, noiseBlocks, sourceBlock } from './source.ts'

/** What an engine is, for who has not met it. */
const MEANINGS: Readonly<Record<EngineName, string>> = {
  'basic-paxos': 'Every value is agreed on by itself, in two rounds and two syncs.',
  'multi-paxos': 'A leader that stays needs one round a value, one at a time.',
  xpaxos: 'This engine: a leader, many entries in a round, many rounds on their way.',
  limit: 'No agreement at all, the same bytes written and synced: what the machine can do.',
}
const NEAR_BEST = 0.9

export function enginesSection(compares: readonly CompareView[]): Section {
  const blocks = compares.flatMap((compare, i) => [
    ...(i > 0 || compares.length > 1 ? [titleOf(compare)] : []),
    ...compareBlocks(compare),
  ])
  return {
    id: 'engines',
    title: 'Engines side by side',
    question:
      'How many entries a second does each way of agreeing take, and how long does one wait?',
    blocks: compares.length > 0 ? blocks : [ABSENT],
  }
}

const ABSENT: Block = {
  kind: 'absent',
  text: 'No comparison of engines is in this folder.',
  command: 'xpaxos compare --json FOLDER/compare.json',
}

const titleOf = ({ rows }: CompareView): Block => ({
  kind: 'title',
  text: rows[0] === undefined ? 'Nothing measured' : loadText(rows[0].config),
})

function compareBlocks(compare: CompareView): Block[] {
  const { rows, origin } = compare
  const first = rows[0]
  const alarms = alarmsOf(
    [origin],
    rows.map(({ config }) => config),
  )
  if (first === undefined) return [...alarms, sourceBlock([origin])]
  const trials = rows.flatMap((row) => row.trials)
  return [
    ...alarms,
    words(`${loadText(first.config)}. ${howMeasured(compare)}`),
    charts(engineCharts(compare)),
    { kind: 'list', items: rows.map((row) => verdictText(row, rows)) },
    { kind: 'table', table: tableOf(rows), isOpen: false },
    ...noiseBlocks(rows),
    ...sweepBlocks(compare),
    ...busyBlocks(rows, origin.file),
    sourceBlock([origin], trials),
  ]
}

const howMeasured = ({ config: { trials, duration } }: CompareView): string =>
  `Each engine ran ${trials} trials of ${duration} s, in turn with the others, each at the ` +
  'number of entries in flight that serves it best unless one was given.'

/** How far one row got, beside the first and beside the limit. */
export function verdictText(row: RowView, rows: readonly RowView[]): string {
  const first = rows[0]!
  const limit = rows.find(({ engine }) => engine === 'limit')
  const { median, low, high } = row.ratio
  const interval = `95 % interval ${digits(low)} to ${digits(high)}`
  const times = row === first ? '' : `, ${digits(median)} times ${first.label} (${interval})`
  const share = row.throughputPerS.median / (limit?.throughputPerS.median ?? 1)
  const ofLimit = limit === undefined || row === limit ? '' : `, ${shareText(share)} of the limit`
  const meaning = MEANINGS[row.engine]
  return `${row.label}: ${perSecond(row.throughputPerS.median)}${times}${ofLimit}. ${meaning}`
}

const shareText = (share: number): string => (share < 0.01 ? 'under 1 %' : percent(share))

/** Throughput and latency; also what a README shows. */
export function engineCharts({ rows, origin }: CompareView): Chart[] {
  const bars = rows.map(({ label, engine, throughputPerS: { median, min, max } }) => ({
    ...{ label, series: engine, value: median, low: min, high: max },
    text: perSecond(median),
  }))
  const ranges = rows.map(({ label, engine, latencyUs: { p50, p99 } }) => ({
    ...{ label, series: engine, from: p50.median, to: p99.median },
    text: `${latency(p50.median)} to ${latency(p99.median)}`,
  }))
  const told = (texts: readonly { label: string; text: string }[]): string =>
    texts.map(({ label, text }) => `${label} ${text}`).join('; ')
  return [
    barChart(
      {
        id: idOf(origin.file, 'throughput'),
        title: 'Entries a second',
        note: 'thin lines: from the worst trial to the best',
        desc: `Median of trials, with their range as a thin line. ${told(bars)}.`,
        tickText: rateTick,
      },
      bars,
    ),
    rangeChart(
      {
        id: idOf(origin.file, 'latency'),
        title: 'Latency',
        note: 'first dot: half are faster; second dot: 99 of 100 are',
        desc: `From p50 to p99, medians of trials. ${told(ranges)}.`,
        tickText: latencyTick,
      },
      ranges,
    ),
  ]
}

function tableOf(rows: readonly RowView[]) {
  return {
    caption: 'Medians of trials, with their range',
    head: [
      'engine',
      'in flight',
      'a second',
      'min to max',
      'p50',
      'p99',
      'ratio',
      '95 % interval',
      'p',
    ],
    rows: rows.map(({ label, config, throughputPerS, latencyUs, ratio, p }) => [
      label,
      config.inflight === null ? `${perSecond(config.rate ?? 0)} offered` : `${config.inflight}`,
      perSecond(throughputPerS.median),
      `${perSecond(throughputPerS.min)} to ${perSecond(throughputPerS.max)}`,
      latency(latencyUs.p50.median),
      latency(latencyUs.p99.median),
      digits(ratio.median),
      p === null ? '-' : `${digits(ratio.low)} to ${digits(ratio.high)}`,
      p === null ? '-' : probability(p),
    ]),
  }
}

/** null: every engine was given its number in flight. */
function sweepChart({ rows, origin }: CompareView): Chart | null {
  const swept = rows.filter(({ sweep }) => sweep.length > 1)
  if (swept.length === 0) return null
  return lineChart({
    id: idOf(origin.file, 'sweep'),
    title: 'More in flight: throughput grows, then only the wait does',
    desc:
      'Short probes with 1, 4, 16 and more entries in flight: throughput to the right, p99 ' +
      'upwards. A curve that turns up has reached its knee.',
    x: { label: 'entries a second', isLog: true, tickText: rateTick },
    y: { label: 'p99: 99 of 100 are faster', isLog: true, tickText: latencyTick },
    series: swept.map(({ label, engine, sweep }) => ({
      name: label,
      series: engine,
      points: sweep.map(({ inflight, throughputPerS, p99 }) => ({
        ...{ x: throughputPerS, y: p99, low: p99, high: p99 },
        hint: `${label}, ${inflight} in flight: ${perSecond(throughputPerS)}, p99 ${latency(p99)}`,
      })),
    })),
  })
}

/** How many in flight are enough: the least that reaches nearly the best. */
function sweepBlocks(compare: CompareView): Block[] {
  const items = compare.rows.flatMap(({ label, sweep }) => {
    if (sweep.length < 2) return []
    const best = Math.max(...sweep.map(({ throughputPerS }) => throughputPerS))
    const { inflight, p99 } = sweep.find((one) => one.throughputPerS >= NEAR_BEST * best)!
    const enough = `${whole(inflight)} in flight reach ${percent(NEAR_BEST)} of its best`
    return [`${label}: ${enough}, with p99 ${latency(p99)}.`]
  })
  if (items.length === 0) return []
  const probes = compare.rows.flatMap(({ label, sweep }) =>
    sweep.map(({ inflight, throughputPerS, p99 }) => [
      ...[label, `${inflight}`, perSecond(throughputPerS), latency(p99)],
    ]),
  )
  const head = ['engine', 'in flight', 'a second', 'p99']
  const table = { caption: 'Probes of the sweep', head, rows: probes }
  return [
    { kind: 'title', text: 'How many entries in flight are enough' },
    charts([sweepChart(compare)], items),
    { kind: 'table', table, isOpen: false },
  ]
}
