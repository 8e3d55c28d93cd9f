/**
 * Bar charts as SVG, for compare results: one file, no script, readable on light and dark pages.
 * The scale is logarithmic when the largest bar is more than 50 times the smallest, and says so.
 * Pure: results in, markup out.
 */
import type { CompareResult } from '../types.ts'
import { latency, perSecond } from './units.ts'

export interface Bar {
  readonly label: string
  readonly value: number
  readonly text: string
}

export interface Panel {
  readonly title: string
  readonly bars: readonly Bar[]
}

const WIDTH = 720
const BAR_LEFT = 130
const BAR_WIDTH_MAX = 450
const BAR_HEIGHT = 22
const ROW_HEIGHT = 30
const PANEL_HEAD = 40
const LOG_RATIO = 50

const STYLE =
  '<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}' +
  '.bar{fill:#3f6fb5}.ground{fill:#ffffff}' +
  '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6ea8fe}.ground{fill:#0d1117}}' +
  '</style>'

export function compareChart({ rows, config }: CompareResult): string {
  const { nodes, transport, durability, payload } = config
  const load = `${nodes} nodes, ${transport}, ${durability}, ${payload} B`
  return barChart(`Throughput and latency: ${load}`, [
    {
      title: 'Throughput, entries a second (median of trials)',
      bars: rows.map(({ label, throughputPerS: { median } }) => ({
        label,
        value: median,
        text: perSecond(median),
      })),
    },
    {
      title: '99th percentile of latency (median of trials)',
      bars: rows.map(({ label, latencyUs: { p99 } }) => ({
        label,
        value: p99.median,
        text: latency(p99.median),
      })),
    },
  ])
}

export function barChart(title: string, panels: readonly Panel[]): string {
  let top = 40
  const parts: string[] = []
  for (const panel of panels) {
    parts.push(panelOf(panel, top))
    top += PANEL_HEAD + panel.bars.length * ROW_HEIGHT
  }
  const height = top + 10
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
    `width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">\n` +
    `<title>${escaped(title)}</title>\n${STYLE}\n` +
    `<rect class="ground" width="${WIDTH}" height="${height}"/>\n` +
    `<text class="title" x="12" y="26">${escaped(title)}</text>\n` +
    parts.join('') +
    '</svg>\n'
  )
}

function panelOf({ title, bars }: Panel, top: number): string {
  const widthOf = scaleOf(bars.map(({ value }) => value))
  const head = `${title}${widthOf.isLog ? ', logarithmic scale' : ''}`
  const lines = bars.map(({ label, value, text }, i) => {
    const y = top + PANEL_HEAD + i * ROW_HEIGHT
    const width = widthOf(value).toFixed(1)
    const base = y + BAR_HEIGHT - 6
    return (
      `<text x="${BAR_LEFT - 8}" y="${base}" text-anchor="end">${escaped(label)}</text>` +
      `<rect class="bar" x="${BAR_LEFT}" y="${y}" ` +
      `width="${width}" height="${BAR_HEIGHT}" rx="2"/>` +
      `<text x="${BAR_LEFT + widthOf(value) + 8}" y="${base}">${escaped(text)}</text>\n`
    )
  })
  return `<text x="12" y="${top + 26}">${escaped(head)}</text>\n` + lines.join('')
}

/** A logarithmic scale starts a decade below the smallest bar: no bar has length 0. */
function scaleOf(values: readonly number[]) {
  const above = values.filter((value) => value > 0)
  const max = Math.max(...above, 0)
  const min = Math.min(...above)
  const isLog = above.length > 1 && max / min > LOG_RATIO
  const floor = Math.log10(min) - 1
  const ratioOf = (value: number): number => {
    if (value <= 0 || max <= 0) return 0
    return isLog ? (Math.log10(value) - floor) / (Math.log10(max) - floor) : value / max
  }
  const widthOf = (value: number): number => Math.round(ratioOf(value) * BAR_WIDTH_MAX * 10) / 10
  return Object.assign(widthOf, { isLog })
}

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
