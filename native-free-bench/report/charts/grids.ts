/**
 * Charts of rows and columns: the heat map of batch and pipeline sizes, and how busy each stage of
 * each node was. Colours say shares; every cell says its figure too. Pure.
 */
import { type Chart, element, hint, type Point, textAt, WIDTH } from './svg.ts'

export interface HeatCell {
  readonly column: number
  readonly row: number
  readonly value: number
  readonly text: string
  readonly hint: string
}

export interface HeatSign {
  readonly column: number
  readonly row: number
  readonly sign: 'star' | 'diamond'
  readonly name: string
}

export interface HeatMap {
  readonly id: string
  readonly title: string
  readonly desc: string
  readonly columnLabel: string
  readonly rowLabel: string
  readonly columns: readonly string[]
  /** From the top down. */
  readonly rows: readonly string[]
  readonly cells: readonly HeatCell[]
  readonly signs: readonly HeatSign[]
}

/** Shares of the best from which a cell takes the next colour. */
const SHARES = [0.5, 0.7, 0.85, 0.95] as const
const SHARE_NAMES = ['< 50 %', '≥ 50 %', '≥ 70 %', '≥ 85 %', '≥ 95 %'] as const
const MAP_LEFT = 42
const CELL_HEIGHT = 34
const LEGEND_COLUMN = 72

export function heatMap(map: HeatMap): Chart {
  const { id, title, desc, columns, rows, cells, signs } = map
  const width = (WIDTH - MAP_LEFT - 4) / Math.max(1, columns.length)
  const top = 24
  const bottom = top + rows.length * CELL_HEIGHT
  const best = Math.max(...cells.map(({ value }) => value), 0)
  const place = (one: { column: number; row: number }) => ({
    x: MAP_LEFT + one.column * width,
    y: top + one.row * CELL_HEIGHT,
  })
  const body = [
    textAt(0, 14, map.rowLabel, { class: 'small' }),
    ...rows.map((name, i) =>
      textAt(MAP_LEFT - 6, top + i * CELL_HEIGHT + 21, name, { class: 'small end' }),
    ),
    ...columns.map((name, i) =>
      textAt(MAP_LEFT + (i + 0.5) * width, bottom + 16, name, { class: 'small mid' }),
    ),
    textAt(MAP_LEFT + (columns.length * width) / 2, bottom + 33, map.columnLabel, {
      class: 'small mid',
    }),
    ...rows.flatMap((_, row) =>
      columns.map((_, column) => unmeasured(place({ column, row }), width)),
    ),
    ...cells.map((cell) => cellOf(cell, place(cell), width, best)),
    ...signs.map((sign) => {
      const { x, y } = place(sign)
      const left = sign.sign === 'star' ? x + 9 : x + width - 9
      return element('g', {}, hint(sign.name) + signAt(sign.sign, left, y + 9))
    }),
    ...legendOf(signs, bottom + 50),
  ]
  return {
    id,
    title,
    note: 'colour: share of the best',
    desc,
    height: bottom + 68 + signs.length * 20,
    body: body.join(''),
  }
}

/** Under the cells: seen where there is none. */
const unmeasured = ({ x, y }: Point, width: number): string =>
  element('rect', { class: 'none', x: x + 3, y: y + 3, width: width - 6, height: CELL_HEIGHT - 6 })

function cellOf(cell: HeatCell, { x, y }: Point, width: number, best: number): string {
  const step = stepOf(best === 0 ? 0 : cell.value / best)
  const size = { x: x + 1, y: y + 1, width: width - 2, height: CELL_HEIGHT - 2, rx: 3 }
  const isNarrow = width < 36
  const text = isNarrow
    ? ''
    : textAt(x + width / 2, y + 22, cell.text, {
        class: 'mid',
        style: `font-size:12.5px;fill:var(--t${step})`,
      })
  return element('g', {}, hint(cell.hint) + element('rect', { ...size, ...fill(step) }) + text)
}

const stepOf = (share: number): number => SHARES.filter((least) => share >= least).length
const fill = (step: number) => ({ style: `fill:var(--h${step})` })

function legendOf(signs: readonly HeatSign[], top: number): string[] {
  const squares = SHARE_NAMES.map((name, step) => {
    const x = 8 + step * LEGEND_COLUMN
    const square = element('rect', { x, y: top, width: 12, height: 12, rx: 2, ...fill(step) })
    return square + textAt(x + 16, top + 10, name, { class: 'small' })
  })
  const names = signs.map(({ sign, name }, i) => {
    const y = top + 28 + i * 20
    return signAt(sign, 14, y) + textAt(28, y + 4, name, { class: 'small' })
  })
  return [...squares, ...names]
}

function signAt(sign: HeatSign['sign'], x: number, y: number): string {
  if (sign === 'diamond') {
    const points = `${x},${y - 6} ${x + 6},${y} ${x},${y + 6} ${x - 6},${y}`
    return element('polygon', { class: 'sign', points })
  }
  const points = Array.from({ length: 10 }, (_, i) => {
    const angle = (Math.PI * i) / 5 - Math.PI / 2
    const radius = i % 2 === 0 ? 7.5 : 3.2
    const [dx, dy] = [radius * Math.cos(angle), radius * Math.sin(angle)]
    return `${(x + dx).toFixed(1)},${(y + dy).toFixed(1)}`
  })
  return element('polygon', { class: 'sign', points: points.join(' ') })
}

export interface BusyChart {
  readonly id: string
  readonly title: string
  readonly desc: string
  readonly nodes: readonly string[]
  readonly stages: readonly string[]
  /** [stage][node]; null: there is no such stage. */
  readonly ratios: readonly (readonly (number | null)[])[]
  readonly series: string
}

const BUSY_LEFT = 70
const BUSY_ROW = 26
const FIGURE_WIDTH = 40

/** A bar a stage and node; the busiest of all is in the colour of alarm. */
export function busyChart({ id, title, desc, nodes, stages, ratios, series }: BusyChart): Chart {
  const width = (WIDTH - BUSY_LEFT) / Math.max(1, nodes.length)
  const most = Math.max(...ratios.flat().map((ratio) => ratio ?? 0))
  const heads = nodes.map((name, i) =>
    textAt(BUSY_LEFT + i * width, 14, name, { class: 'small strong' }),
  )
  const rows = stages.map((name, row) => {
    const y = 22 + row * BUSY_ROW
    const cells = nodes.map((_, i) => {
      const ratio = ratios[row]?.[i] ?? null
      if (ratio === null) return ''
      const place = { x: BUSY_LEFT + i * width, y, width: width - FIGURE_WIDTH - 6 }
      return busyCell(ratio, place, ratio > 0 && ratio === most)
    })
    return textAt(BUSY_LEFT - 8, y + 15, name, { class: 'end' }) + cells.join('')
  })
  const body = element('g', { class: series }, [...heads, ...rows].join(''))
  return { id, title, note: '', desc, height: 26 + stages.length * BUSY_ROW, body }
}

function busyCell(
  ratio: number,
  { x, y, width }: { readonly x: number; readonly y: number; readonly width: number },
  isMost: boolean,
): string {
  const track = { x, y: y + 5, width, height: 11, rx: 2 }
  const bar = { ...track, width: Math.max(1, width * Math.min(1, ratio)) }
  const figure = `${(ratio * 100).toFixed(0)} %`
  return (
    element('rect', { class: 'track', ...track }) +
    element('rect', { class: isMost ? 'alarm' : 'mark', ...bar }) +
    textAt(x + width + 5, y + 15, figure, { class: isMost ? 'alarm' : 'small' })
  )
}
