/** The result of a tuning as text: the points, the fresh trials, the reasons. Pure. */
import type { TuneLane, TunePoint, TuneResult } from '../types.ts'
import { notesText, table, violationText } from './text.ts'
import { bytes, digits, latency, perSecond, probability } from './units.ts'

export function tuneText(result: TuneResult): string {
  const { config, points, validation, rationale, warnings, violations, partial } = result
  const load = config.inflight === null ? perSecond(config.rate!) : `inflight ${config.inflight}`
  const title =
    `tune: ${config.nodes} nodes, ${config.transport}, ${config.durability}, ` +
    `${config.payload} B, ${load}, ${config.api}\n\n`
  const fresh = validation.length === 0 ? '' : `\nfresh trials:\n${lanesText(validation)}`
  const reasons = rationale.map((line) => `${line}\n`).join('')
  return (
    violationText(violations) +
    title +
    (points.length === 0 ? '' : pointsText(points)) +
    `${fresh}\n${reasons}` +
    notesText(warnings, partial)
  )
}

function pointsText(points: readonly TunePoint[]): string {
  const head = 'batches up to,depth,throughput,predicted,p50,p99,trials'.split(',')
  const rows = points
    .toSorted((a, b) => a.batchMaxBytes - b.batchMaxBytes || a.pipelineDepth - b.pipelineDepth)
    .map(({ batchMaxBytes, pipelineDepth, predictedThroughputPerS: predicted, ...point }) => [
      bytes(batchMaxBytes),
      String(pipelineDepth),
      perSecond(point.throughputPerS),
      predicted === null ? '-' : perSecond(predicted),
      latency(point.latencyUs.p50),
      latency(point.latencyUs.p99),
      String(point.trials),
    ])
  return table([head, ...rows])
}

function lanesText(lanes: readonly TuneLane[]): string {
  const head = 'choice,batches up to,depth,throughput,min,max,p99,ratio,95 % interval,p'.split(',')
  const rows = lanes.map(({ lane, throughputPerS, latencyUs, ratio, p, ...sizes }) => [
    lane,
    bytes(sizes.batchMaxBytes),
    String(sizes.pipelineDepth),
    perSecond(throughputPerS.median),
    perSecond(throughputPerS.min),
    perSecond(throughputPerS.max),
    latency(latencyUs.p99.median),
    digits(ratio.median),
    p === null ? '-' : `${digits(ratio.low)} to ${digits(ratio.high)}`,
    p === null ? '-' : probability(p),
  ])
  return table([head, ...rows])
}
