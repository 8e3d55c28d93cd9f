/**
 * Line charts: several series over one x axis, each with its own mark, so that they are told apart
 * without colour; a legend above, the range of trials as a thin line through a point. Pure.
 */
import { linearScale, logScale, type Scale } from './scale.ts'
import { type Chart, element, hint, lineAt, pathOf, type Point, textAt, WIDTH } from './svg.ts'

export interface LinePoint {
  readonly x: number
  readonly y: number
  readonly low: number
  readonly high: number
  /** What the point is, in words. */
  readonly hint: string
}

export interface Series {
  readonly name: string
  /** An engine's name, or s0 to s5. */
  readonly series: string
  readonly isDashed?: boolean
  readonly points: readonly LinePoint[]
}

export interface Axis {
  readonly label: string
  readonly isLog: boolean
  readonly tickText: (value: number) => string
}

export interface LineChart {
  readonly id: string
  readonly title: string
  readonly note?: string
  readonly desc: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
}

const LEFT = 56
const RIGHT = WIDTH - 14
const PLOT_HEIGHT = 220
const LEGEND_ROW = 20
const LEGEND_COLUMN = (WIDTH - 8) / 2

export function lineChart({ id, title, note = '', desc, x, y, series }: LineChart): Chart {
  const shown = series.filter(({ points }) => points.length > 0)
  const legendRows = Math.ceil(shown.length / 2)
  const top = legendRows * LEGEND_ROW + 26
  const bottom = top + PLOT_HEIGHT
  const all = shown.flatMap(({ points }) => points)
  const xs = scaleOf(
    x,
    all.map((point) => point.x),
    { from: LEFT + 6, to: RIGHT - 6 },
  )
  const heights = all.flatMap((point) => [point.y, point.low, point.high])
  const ys = scaleOf(y, heights, { from: bottom, to: top + 6 })
  const body = [
    ...shown.map((one, i) => legendOf(one, i)),
    textAt(4, top - 10, y.label, { class: 'small' }),
    ...yGrid(y, ys),
    ...xGrid(x, xs, { top, bottom }),
    textAt((LEFT + RIGHT) / 2, bottom + 36, x.label, { class: 'small mid' }),
    ...shown.map((one, i) => seriesOf(one, i, xs, ys)),
  ]
  return { id, title, note, desc, height: bottom + 44, body: body.join('') }
}

const scaleOf = (
  { isLog }: Axis,
  values: readonly number[],
  span: { from: number; to: number },
): Scale => (isLog ? logScale(values, span) : linearScale(values, span))

function legendOf({ name, series, isDashed }: Series, i: number): string {
  const x = 8 + (i % 2) * LEGEND_COLUMN
  const y = 12 + Math.floor(i / 2) * LEGEND_ROW
  const line = lineAt({ x, y }, { x: x + 22, y }, { class: lineClass(isDashed) })
  const mark = markOf(i, { x: x + 11, y })
  return element('g', { class: series }, line + mark) + textAt(x + 29, y + 4.5, name)
}

const lineClass = (isDashed = false): string => (isDashed ? 'line dash' : 'line')

const yGrid = ({ tickText }: Axis, scale: Scale): string[] =>
  scale.ticks.map((tick) => {
    const y = scale.at(tick)
    const name = textAt(LEFT - 6, y + 4, tickText(tick), { class: 'small end' })
    return lineAt({ x: LEFT, y }, { x: RIGHT, y }, { class: 'grid' }) + name
  })

const xGrid = (
  { tickText }: Axis,
  scale: Scale,
  { top, bottom }: { readonly top: number; readonly bottom: number },
): string[] =>
  scale.ticks.map((tick) => {
    const x = scale.at(tick)
    const name = textAt(x, bottom + 17, tickText(tick), { class: 'small mid' })
    return lineAt({ x, y: top }, { x, y: bottom }, { class: 'grid' }) + name
  })

function seriesOf({ series, isDashed, points }: Series, i: number, xs: Scale, ys: Scale): string {
  const places = points.map((point) => ({ x: xs.at(point.x), y: ys.at(point.y) }))
  const marks = points.map((point, at) => {
    const { x, y } = places[at]!
    const [low, high] = [ys.at(point.low), ys.at(point.high)]
    const isSeen = Math.abs(low - high) >= 2
    const reach = isSeen ? lineAt({ x, y: low }, { x, y: high }, { class: 'range' }) : ''
    return element('g', {}, hint(point.hint) + reach + markOf(i, { x, y }))
  })
  const line = element('path', { class: lineClass(isDashed), d: pathOf(places) })
  return element('g', { class: series }, line + marks.join(''))
}

/** Circle, square, triangle, diamond, in turn. */
function markOf(i: number, { x, y }: Point): string {
  const polygon = (points: string): string => element('polygon', { class: 'mark', points })
  switch (i % 4) {
    case 0:
      return element('circle', { class: 'mark', cx: x, cy: y, r: 4.2 })
    case 1:
      return element('rect', { class: 'mark', x: x - 4, y: y - 4, width: 8, height: 8 })
    case 2:
      return polygon(places([x, y - 5], [x + 5, y + 4], [x - 5, y + 4]))
    default:
      return polygon(places([x, y - 5.5], [x + 5, y], [x, y + 5.5], [x - 5, y]))
  }
}

const places = (...points: readonly (readonly [number, number])[]): string =>
  points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
