/** Single benches: the time line of a leader's death, and every other closed loop. Pure. */
import type { Failover } from '../../types.ts'
import type { Chart } from '../charts/svg.ts'
import { timeLine } from '../charts/timeline.ts'
import { type Block, charts, type Section, words } from '../document.ts'
import type { BenchView, TrialView } from '../model.ts'
import { digits, latency, latencyTick, percent, perSecond } from '../units.ts'
import { busyBlocks } from './busy.ts'
import { isOpenLoop } from './load.ts'
import { alarmsOf, idOf, loadText, noiseBlocks, sourceBlock } from './source.ts'

/** So much of the throughput before counts as back. */
const BACK = 0.9

export const isKill = ({ config, trials }: BenchView): boolean =>
  config.killLeaderAfter !== null || trials.some(({ failover }) => failover.length > 0)

export function killSection(benches: readonly BenchView[]): Section {
  return {
    id: 'kill',
    title: 'When the leader dies',
    question: 'How long does nobody get an answer, and is anything lost?',
    blocks: benches.length > 0 ? benches.flatMap(killBlocks) : [ABSENT],
  }
}

const ABSENT: Block = {
  kind: 'absent',
  text: 'No bench with a killed leader is in this folder.',
  command: 'xpaxos bench --duration 12 --kill-leader-after 7 --json FOLDER/leader-kill.json',
}

function killBlocks(bench: BenchView): Block[] {
  const { origin, config, trials } = bench
  const shown = trials.find(({ failover }) => failover.length > 0) ?? trials[0]
  const chart = shown === undefined ? null : killChart(bench, shown)
  return [
    ...alarmsOf([origin], [config]),
    words(`${loadText(config)}.`),
    charts([chart], killTexts(trials)),
    ...(shown === undefined ? [] : [secondsTable(shown)]),
    sourceBlock([origin], trials),
  ]
}

/** What the deaths cost, over all trials. */
export function killTexts(trials: readonly TrialView[]): string[] {
  const all = trials.flatMap(({ failover }) => failover)
  const lost = trials.reduce((sum, { safety }) => sum + safety.entriesLost, 0)
  const verdict =
    lost === 0 ? 'Nothing that was acknowledged is lost.' : `${lost} ACKNOWLEDGED ENTRIES ARE LOST.`
  if (all.length === 0) return ['No other leader answered before the end of the trial.', verdict]
  const gaps = all.map(({ gapMs }) => gapMs)
  const [least, most] = [Math.min(...gaps), Math.max(...gaps)]
  const range =
    all.length === 1 ? gapOf(least) : `${gapOf(least)} to ${gapOf(most)} in ${all.length} deaths`
  return [
    `From the last answer of the old leader to the first of the new one: ${range}.`,
    verdict,
    ...backTexts(trials),
  ]
}

const gapOf = (gapMs: number): string => latencyTick(gapMs * 1_000)

/** Of the first trial with a death: the first whole second at the rate of before. */
function backTexts(trials: readonly TrialView[]): string[] {
  const trial = trials.find(({ failover }) => failover.length > 0)
  if (trial === undefined) return []
  const { atS } = trial.failover[0]!
  const before = trial.samples.filter(({ tS }) => tS <= atS)
  const rates = before.map(({ throughputPerS }) => throughputPerS).sort((a, b) => a - b)
  const usual = rates[rates.length >> 1]
  if (usual === undefined) return []
  const back = trial.samples.find(
    ({ tS, throughputPerS }) => tS - 1 >= atS && throughputPerS >= BACK * usual,
  )
  const rate = `${percent(BACK)} of the throughput before`
  if (back === undefined) return [`It did not get back to ${rate} until the end.`]
  return [`The first whole second with at least ${rate}: from ${back.tS - 1} s to ${back.tS} s.`]
}

function killChart({ origin, config }: BenchView, trial: TrialView): Chart {
  const gapText = ({ fromNode, toNode, gapMs }: Failover): string =>
    `n${fromNode} dies, n${toNode} answers ${gapOf(gapMs)} later`
  return timeLine({
    id: idOf(origin.file, 'kill'),
    title: 'What clients saw',
    desc: trial.failover.map((one) => `At ${digits(one.atS)} s ${gapText(one)}.`).join(' '),
    series: config.engine,
    samples: trial.samples,
    failovers: trial.failover,
    gapText,
  })
}

function secondsTable({ samples }: TrialView): Block {
  const rows = samples.map(({ tS, throughputPerS, p99 }) => [
    ...[digits(tS), perSecond(throughputPerS), p99 > 0 ? latency(p99) : '-'],
  ])
  const table = { caption: 'Each second', head: ['second', 'acknowledged', 'p99'], rows }
  return { kind: 'table', table, isOpen: false }
}

/** Closed loops without a death; null: there is none. */
export function benchesSection(benches: readonly BenchView[]): Section | null {
  const plain = benches.filter((bench) => !isOpenLoop(bench) && !isKill(bench))
  if (plain.length === 0) return null
  return {
    id: 'benches',
    title: 'Single benches',
    question: 'One engine, one load.',
    blocks: plain.flatMap(benchBlocks),
  }
}

function benchBlocks({ origin, config, trials, summary }: BenchView): Block[] {
  const row = { label: config.engine, engine: config.engine, config, trials }
  const spread = summary === null ? [] : [{ ...row, throughputPerS: summary.throughputPerS }]
  const table = {
    caption: 'Each trial',
    head: ['trial', 'a second', 'p50', 'p99', 'p99.9'],
    rows: trials.map(({ throughputPerS, latencyUs }, i) => [
      `${i + 1}`,
      perSecond(throughputPerS),
      latency(latencyUs.p50),
      latency(latencyUs.p99),
      latency(latencyUs.p999),
    ]),
  }
  return [
    { kind: 'title', text: `${config.engine}: ${config.inflight ?? '-'} in flight` },
    ...alarmsOf([origin], [config]),
    words(`${loadText(config)}.`),
    { kind: 'table', table, isOpen: true },
    ...busyBlocks([row], origin.file),
    ...noiseBlocks(spread),
    sourceBlock([origin], trials),
  ]
}
