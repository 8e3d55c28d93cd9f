/**
 * Results as aligned text tables, for a terminal and, as they are, for summary.md. Violations come
 * first. Pure: results in, text out.
 */
import type { BenchResult, CompareResult, SweepPoint, TrialResult } from '../types.ts'
import { bytesPerSecond, digits, latency, percent, perSecond, probability } from './units.ts'

/** Columns as wide as their widest cell; the first is flush left, figures flush right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  '),
  )
  return lines.map((line) => line.trimEnd()).join('\n') + '\n'
}

export const violationText = (violations: readonly string[]): string =>
  violations.map((text) => `SAFETY VIOLATION: ${text}\n`).join('')

export function benchText({ config, trials, summary, sweep, violations, partial }: BenchResult) {
  const title =
    `${config.engine}: ${config.nodes} nodes, ${config.transport}, ${config.durability}, ` +
    `${config.payload} B, ${loadText(config)}, ${config.api}\n\n`
  const rows = trials.map((trial, i) => [
    String(i + 1),
    perSecond(trial.throughputPerS),
    bytesPerSecond(trial.bytesPerS),
    latency(trial.latencyUs.p50),
    latency(trial.latencyUs.p99),
    latency(trial.latencyUs.p999),
    digits(trial.batchEntries.mean),
    digits(trial.cpu.coresUsed),
    bottleneckOf(trial),
  ])
  const head = 'trial,throughput,bytes,p50,p99,p99.9,batch,cores,busiest stage'.split(',')
  if (summary !== null && trials.length > 1)
    rows.push([
      'median',
      perSecond(summary.throughputPerS.median),
      '',
      latency(summary.latencyUs.p50.median),
      latency(summary.latencyUs.p99.median),
      latency(summary.latencyUs.p999.median),
      '',
      '',
      '',
    ])
  const notes = trials.flatMap(({ warnings }) => warnings)
  return (
    violationText(violations) +
    title +
    table([head, ...rows]) +
    safetyText(trials) +
    sweepText(config.engine, sweep) +
    notesText(notes, partial)
  )
}

export function compareText({ config, rows, violations, partial }: CompareResult): string {
  const title =
    `${config.nodes} nodes, ${config.transport}, ${config.durability}, ${config.payload} B, ` +
    `${config.api}, ${config.trials} trials of ${config.duration} s each, interleaved\n\n`
  const head = 'engine,load,throughput,min,max,p50,p99,ratio,95 % interval,p'.split(',')
  const body = rows.map((row) => [
    row.label,
    loadText(row.config),
    perSecond(row.throughputPerS.median),
    perSecond(row.throughputPerS.min),
    perSecond(row.throughputPerS.max),
    latency(row.latencyUs.p50.median),
    latency(row.latencyUs.p99.median),
    digits(row.ratio.median),
    row.p === null ? '-' : `${digits(row.ratio.low)} to ${digits(row.ratio.high)}`,
    row.p === null ? '-' : probability(row.p),
  ])
  const trials = rows.flatMap((row) => row.trials)
  const notes = [
    ...rows.flatMap((row) =>
      row.trials.length === 0 ? [] : [`${row.label}: busiest ${bottleneckOf(row.trials[0]!)}`],
    ),
    ...trials.flatMap(({ warnings }) => warnings),
  ]
  return (
    violationText(violations) +
    title +
    table([head, ...body]) +
    safetyText(trials) +
    rows.map((row) => sweepText(row.label, row.sweep)).join('') +
    notesText(notes, partial)
  )
}

function loadText({ inflight, rate }: { inflight: number | 'best' | null; rate: number | null }) {
  return inflight === null ? perSecond(rate ?? 0) : `inflight ${inflight}`
}

/** The busiest stage bounds the throughput when its ratio is near 1. */
function bottleneckOf({ stages }: TrialResult): string {
  const [busiest] = Object.entries(stages).sort(([, a], [, b]) => b.busyRatio - a.busyRatio)
  return busiest === undefined ? '-' : `${busiest[0]} ${percent(busiest[1].busyRatio)}`
}

function safetyText(trials: readonly TrialResult[]): string {
  const checked = trials.reduce((sum, { safety }) => sum + safety.checkedEntries, 0)
  const entries = trials.reduce((sum, trial) => sum + trial.entries, 0)
  return `\nchecked ${checked} of ${entries} entries\n`
}

function sweepText(engine: string, sweep: readonly SweepPoint[]): string {
  if (sweep.length === 0) return ''
  const points = sweep.map((point) => [
    String(point.inflight),
    perSecond(point.throughputPerS),
    latency(point.p99),
  ])
  return `\n${engine}, sweep:\n` + table([['inflight', 'throughput', 'p99'], ...points])
}

export function notesText(notes: readonly string[], isPartial: boolean): string {
  const all = [...new Set(notes)]
  if (isPartial) all.push('interrupted: the result is partial')
  return all.length === 0 ? '' : '\n' + all.map((note) => `note: ${note}\n`).join('')
}
