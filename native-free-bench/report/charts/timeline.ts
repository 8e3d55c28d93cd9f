/**
 * What clients saw while a leader died: entries acknowledged in each second, the gap without any
 * answer, and under it the slow latencies of each second. Pure.
 */
import type { Failover, Sample } from '../../types.ts'
import { latencyTick, rateTick } from '../units.ts'
import { linearScale, logScale, type Scale } from './scale.ts'
import { type Chart, element, hint, lineAt, pathOf, type Point, textAt, WIDTH } from './svg.ts'

export interface TimeLine {
  readonly id: string
  readonly title: string
  readonly desc: string
  readonly series: string
  readonly samples: readonly Sample[]
  readonly failovers: readonly Failover[]
  readonly gapText: (failover: Failover) => string
}

const LEFT = 56
const RIGHT = WIDTH - 10
const RATES = { top: 44, bottom: 174 }
const TAILS = { top: 218, bottom: 288 }
const GAP_WIDTH_MIN = 3
/** The words above a gap stay inside the chart. */
const TEXT_HALF = 120

export function timeLine(line: TimeLine): Chart {
  const { id, title, desc, series, samples, failovers } = line
  const endS = Math.max(1, ...samples.map(({ tS }) => tS))
  const xs = secondsScale(endS)
  const rates = linearScale(
    samples.map(({ throughputPerS }) => throughputPerS),
    { from: RATES.bottom, to: RATES.top },
  )
  const tails = logScale(
    samples.map(({ p99 }) => p99),
    { from: TAILS.bottom, to: TAILS.top },
  )
  const body = [
    ...grid(rates, rateTick),
    ...grid(tails, latencyTick),
    textAt(4, RATES.top - 28, 'entries acknowledged in each second', { class: 'small' }),
    textAt(4, TAILS.top - 14, 'p99 of each second: 99 of 100 were faster', { class: 'small' }),
    ...failovers.map((failover) => gapOf(failover, xs, line.gapText(failover))),
    element('g', { class: series }, stepsOf(samples, xs, rates) + tailsOf(samples, xs, tails)),
    ...secondsOf(xs),
  ]
  return { id, title, note: '', desc, height: TAILS.bottom + 40, body: body.join('') }
}

interface Seconds {
  readonly endS: number
  readonly at: (second: number) => number
}

const secondsScale = (endS: number): Seconds => ({
  endS,
  at: (second) => LEFT + (Math.min(second, endS) / endS) * (RIGHT - LEFT),
})

const grid = (scale: Scale, text: (value: number) => string): string[] =>
  scale.ticks.map((tick) => {
    const y = scale.at(tick)
    const name = textAt(LEFT - 6, y + 4, text(tick), { class: 'small end' })
    return lineAt({ x: LEFT, y }, { x: RIGHT, y }, { class: 'grid' }) + name
  })

function secondsOf({ endS, at }: Seconds): string[] {
  const every = Math.max(1, Math.ceil(endS / 12))
  const ticks = Array.from({ length: Math.floor(endS / every) + 1 }, (_, i) => i * every)
  const names = ticks.map((second) =>
    textAt(at(second), TAILS.bottom + 16, String(second), { class: 'small mid' }),
  )
  const label = 'seconds of the measured time'
  return [...names, textAt((LEFT + RIGHT) / 2, TAILS.bottom + 33, label, { class: 'small mid' })]
}

/** A second is a step: what was acknowledged in it, not at its end. */
function stepsOf(samples: readonly Sample[], xs: Seconds, rates: Scale): string {
  const steps = samples.flatMap(({ tS, throughputPerS }): Point[] => {
    const y = rates.at(throughputPerS)
    return [
      { x: xs.at(tS - 1), y },
      { x: xs.at(tS), y },
    ]
  })
  const first = steps[0]
  if (first === undefined) return ''
  const ground = [
    ...steps,
    { x: steps.at(-1)!.x, y: RATES.bottom },
    { x: first.x, y: RATES.bottom },
  ]
  return (
    element('path', { class: 'area', d: `${pathOf(ground)}Z` }) +
    element('path', { class: 'line', d: pathOf(steps) })
  )
}

/** A second without an answer has no latency, and no point. */
function tailsOf(samples: readonly Sample[], xs: Seconds, tails: Scale): string {
  const points = samples
    .filter(({ p99 }) => p99 > 0)
    .map(({ tS, p99 }) => ({ x: xs.at(tS - 0.5), y: tails.at(p99) }))
  const dots = points.map(({ x, y }) => element('circle', { class: 'mark', cx: x, cy: y, r: 3.4 }))
  return element('path', { class: 'line', d: pathOf(points) }) + dots.join('')
}

function gapOf({ atS, gapMs }: Failover, xs: Seconds, text: string): string {
  const x = xs.at(atS)
  const width = Math.max(GAP_WIDTH_MIN, xs.at(atS + gapMs / 1_000) - x)
  const bands = [RATES, TAILS].map(({ top, bottom }) =>
    element('rect', { class: 'gap', x, y: top, width, height: bottom - top }, hint(text)),
  )
  const middle = Math.min(WIDTH - TEXT_HALF, Math.max(LEFT + TEXT_HALF, x + width / 2))
  return bands.join('') + textAt(middle, RATES.top - 8, text, { class: 'alarm mid' })
}
