/**
 * Charts of one row a thing: bars with the range of their trials, and spans from a typical to a
 * slow latency. The name stands above its bar, so that long ones fit on a phone. Pure.
 */
import { isWide, linearScale, logScale, type Scale } from './scale.ts'
import { type Chart, element, hint, lineAt, textAt, WIDTH } from './svg.ts'

export interface Bar {
  readonly label: string
  /** An engine's name, or s0 to s5. */
  readonly series: string
  readonly value: number
  /** Of the trials; both are the value where there was one. */
  readonly low: number
  readonly high: number
  readonly text: string
}

export interface RangeRow {
  readonly label: string
  readonly series: string
  readonly from: number
  readonly to: number
  readonly text: string
}

interface Frame {
  readonly id: string
  readonly title: string
  readonly note: string
  readonly desc: string
  readonly tickText: (value: number) => string
}

const LEFT = 8
const RIGHT = WIDTH - 8
const ROW_HEIGHT = 42
const BAR_HEIGHT = 13
const FOOT = 24

export function barChart(frame: Frame, bars: readonly Bar[]): Chart {
  const values = bars.flatMap(({ value, low, high }) => [value, low, high])
  const span = { from: LEFT, to: RIGHT }
  const scale = isWide(values) ? logScale(values, span) : linearScale(values, span)
  const rows = bars.map((bar, i) => barRow(bar, scale, i * ROW_HEIGHT))
  return framed(frame, scale, rows)
}

/** From a typical to a slow latency; always logarithmic. */
export function rangeChart(frame: Frame, ranges: readonly RangeRow[]): Chart {
  const values = ranges.flatMap(({ from, to }) => [from, to])
  const scale = logScale(values, { from: LEFT, to: RIGHT })
  const rows = ranges.map((row, i) => rangeRow(row, scale, i * ROW_HEIGHT))
  return framed(frame, scale, rows)
}

function framed(frame: Frame, scale: Scale, rows: readonly string[]): Chart {
  const bottom = rows.length * ROW_HEIGHT + 2
  const height = bottom + FOOT
  const grid = scale.ticks.map((tick) => {
    const x = scale.at(tick)
    const side = x < LEFT + 20 ? '' : x > RIGHT - 20 ? ' end' : ' mid'
    const name = textAt(x, bottom + 15, frame.tickText(tick), { class: `small${side}` })
    return lineAt({ x, y: 0 }, { x, y: bottom }, { class: 'grid' }) + name
  })
  const { id, title, desc } = frame
  const note = [frame.note, noteOf(scale)].filter((text) => text !== '').join('; ')
  return { id, title, note, desc, height, body: [...grid, ...rows].join('') }
}

function noteOf({ isLog, ticks }: Scale): string {
  if (!isLog) return ''
  const isTens = ticks.every((tick, i) => i === 0 || Math.abs(tick / ticks[i - 1]! - 10) < 1e-6)
  return isTens ? 'each line is ten times the last' : 'logarithmic'
}

function barRow({ label, series, value, low, high, text }: Bar, scale: Scale, top: number) {
  const y = top + 20
  const width = Math.max(1, scale.at(value) - LEFT)
  const bar = element(
    'rect',
    { class: `mark ${series}`, x: LEFT, y, width, height: BAR_HEIGHT, rx: 2 },
    hint(`${label}: ${text}`),
  )
  return heads(label, text, top) + bar + reach(scale.at(low), scale.at(high), y + BAR_HEIGHT / 2)
}

function rangeRow({ label, series, from, to, text }: RangeRow, scale: Scale, top: number) {
  const y = top + 20 + BAR_HEIGHT / 2
  const [left, right] = [scale.at(from), scale.at(to)]
  const dots = [left, right].map((cx, i) =>
    element('circle', { class: 'mark', cx, cy: y, r: i === 0 ? 5 : 6.5 }),
  )
  const line = lineAt({ x: left, y }, { x: right, y }, { class: 'wide' })
  return (
    heads(label, text, top) +
    element('g', { class: series }, hint(`${label}: ${text}`) + line + dots.join(''))
  )
}

const heads = (label: string, text: string, top: number): string =>
  textAt(LEFT, top + 14, label, { class: 'over' }) +
  textAt(RIGHT, top + 14, text, { class: 'strong end over' })

/** The range of the trials; nothing where it is too narrow to be seen. */
function reach(left: number, right: number, y: number): string {
  if (right - left < 2) return ''
  const cap = (x: number): string => lineAt({ x, y: y - 4 }, { x, y: y + 4 }, { class: 'reach' })
  const line = (name: string): string => lineAt({ x: left, y }, { x: right, y }, { class: name })
  return line('halo') + line('reach') + cap(left) + cap(right)
}
