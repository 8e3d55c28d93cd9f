/** Scales, marks and escapes of the charts: figures in, places out. */
import { expect, test } from 'vitest'
import { barChart, rangeChart } from '../../native-free-bench/report/charts/bars.ts'
import { busyChart, heatMap } from '../../native-free-bench/report/charts/grids.ts'
import { lineChart } from '../../native-free-bench/report/charts/lines.ts'
import { linearScale, logScale } from '../../native-free-bench/report/charts/scale.ts'
import { type Chart, inlineSvg, svgFile } from '../../native-free-bench/report/charts/svg.ts'
import { timeLine } from '../../native-free-bench/report/charts/timeline.ts'
import { bytes, latencyTick, rateTick, whole } from '../../native-free-bench/report/units.ts'

const SPAN = { from: 0, to: 100 }
const FRAME = { id: 'a', title: 't', note: '', desc: 'd', tickText: rateTick }
const bar = (label: string, value: number) => ({
  ...{ label, series: 'xpaxos', value, low: value, high: value, text: `${value}` },
})
const widths = ({ body }: Chart): number[] =>
  [...body.matchAll(/class="mark [^"]*" x="8" y="\d+" width="([\d.]+)"/g)].map(([, w]) => Number(w))

test.each([
  [rateTick(20_000), '20 k'],
  [rateTick(2.5e6), '2.5 M'],
  [rateTick(0), '0'],
  [latencyTick(500), '500 us'],
  [latencyTick(1_500), '1.5 ms'],
  [latencyTick(2e6), '2 s'],
  [bytes(65_536), '64 KiB'],
  [bytes(100), '100 B'],
  [bytes(2 ** 20), '1 MiB'],
  [whole(1_234_567), '1,234,567'],
])('%s is short for %s', (text, want) => {
  expect(text).toBe(want)
})

test('a linear scale starts at 0 and ends at a round number above the greatest', () => {
  const scale = linearScale([3, 87], SPAN)
  expect(scale.ticks).toEqual([0, 50, 100])
  expect([scale.at(0), scale.at(50), scale.at(87), scale.at(1e9)]).toEqual([0, 50, 87, 100])
})

test('a logarithmic scale has a tick a decade, thinned where there are many', () => {
  expect(logScale([700, 15e6], SPAN).ticks).toEqual([1e3, 1e4, 1e5, 1e6, 1e7])
  expect(logScale([1, 1e12], SPAN).ticks.length).toBeLessThan(8)
  expect(logScale([20, 90], SPAN).ticks).toEqual([10, 20, 50, 100])
})

test('the smallest value of a logarithmic scale has a length, and 0 has none', () => {
  for (const least of [1, 2, 5, 9.9, 10, 999]) {
    const scale = logScale([least, 1e6], SPAN)
    expect(scale.at(least)).toBeGreaterThan(0)
    expect(scale.at(0)).toBe(0)
  }
})

test.each([[[]], [[0]], [[0, 0]], [[5]], [[NaN, 5]]])('%o makes scales that place', (values) => {
  for (const scale of [linearScale(values, SPAN), logScale(values, SPAN)]) {
    expect(scale.ticks.length).toBeGreaterThan(0)
    expect(Number.isFinite(scale.at(5))).toBe(true)
  }
})

test('bars are to scale, and logarithmic, saying so, past a ratio of 50', () => {
  const linear = barChart(FRAME, [bar('a', 100), bar('b', 50)])
  expect(linear.note).toBe('')
  expect(widths(linear)).toEqual([364, 182])
  const wide = barChart(FRAME, [bar('a', 10_000_000), bar('b', 1_000)])
  expect(wide.note).toContain('each line is ten times the last')
  expect(widths(wide)[1]).toBeGreaterThan(10)
})

test('the range of trials is drawn where it can be seen', () => {
  expect(barChart(FRAME, [bar('a', 100)]).body).not.toContain('reach')
  expect(barChart(FRAME, [{ ...bar('a', 100), low: 60, high: 120 }]).body).toContain('reach')
})

const HOSTILE = '</title><script>alert(1)</script>"\'&\u0000'

test('no text of a result is markup in any chart', () => {
  const point = { x: 1, y: 1, low: 1, high: 1, hint: HOSTILE }
  const axis = { label: HOSTILE, isLog: true, tickText: rateTick }
  const named = { id: 'a', title: HOSTILE, note: HOSTILE, desc: HOSTILE }
  const row = { label: HOSTILE, series: HOSTILE, text: HOSTILE }
  const charts = [
    barChart({ ...FRAME, ...named }, [{ ...bar('a', 1), ...row }]),
    rangeChart({ ...FRAME, ...named }, [{ ...row, from: 1, to: 2 }]),
    lineChart({ ...named, x: axis, y: axis, series: [{ ...row, name: HOSTILE, points: [point] }] }),
    heatMap({
      ...{ ...named, columnLabel: HOSTILE, rowLabel: HOSTILE, columns: [HOSTILE], rows: [HOSTILE] },
      cells: [{ column: 0, row: 0, value: 1, text: HOSTILE, hint: HOSTILE }],
      signs: [{ column: 0, row: 0, sign: 'star', name: HOSTILE }],
    }),
    busyChart({ ...named, nodes: [HOSTILE], stages: [HOSTILE], ratios: [[1]], series: HOSTILE }),
    timeLine({
      ...{ ...named, series: HOSTILE, samples: [], gapText: () => HOSTILE },
      failovers: [{ atS: 1, gapMs: 5, fromNode: 1, toNode: 2 }],
    }),
  ]
  for (const text of [...charts.map(inlineSvg), svgFile(charts)]) {
    expect(text).not.toMatch(/<script|<\/title><s|\u0000|NaN|undefined/)
    expect(text).toContain('&#60;script&#62;')
  }
})

test('a chart has a title and a description that its image names', () => {
  const svg = inlineSvg(barChart({ ...FRAME, id: 'one' }, [bar('a', 1)]))
  expect(svg).toContain('role="img" aria-labelledby="one-title one-desc"')
  expect(svg).toContain('<title id="one-title">t</title><desc id="one-desc">d</desc>')
})

test('a file of its own is of one piece: size, colours for light and dark, nothing else', () => {
  const svg = svgFile([barChart(FRAME, [bar('a', 1)]), barChart(FRAME, [bar('b', 1)])])
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" .*viewBox="0 0 808 \d+"/)
  expect(svg).toContain('prefers-color-scheme:dark')
  expect(svg).not.toMatch(/href|url\(|@import/)
})

test('cells of the heat map are coloured by their share of the best', () => {
  const cells = [1, 0.96, 0.9, 0.75, 0.6, 0.1].map((value, column) => ({
    ...{ column, row: 0, value, text: '', hint: '' },
  }))
  const { body } = heatMap({
    ...{ id: 'a', title: 't', desc: 'd', columnLabel: 'c', rowLabel: 'r', rows: ['1'] },
    ...{ columns: ['1', '2', '3', '4', '5', '6'], cells, signs: [] },
  })
  const steps = [...body.matchAll(/<rect x="[\d.]+" y="25"[^>]*var\(--h(\d)\)/g)]
  expect(steps.map(([, step]) => step).join('')).toBe('443210')
})

test('the busiest stage of all is in the colour of alarm, once', () => {
  const ratios = [
    [0.2, 0.5],
    [0.9, null],
  ]
  const named = { id: 'a', title: 't', desc: 'd', nodes: ['n1', 'n2'], stages: ['wal', 'apply'] }
  const { body } = busyChart({ ...named, ratios, series: 'xpaxos' })
  expect(body.match(/<rect class="alarm"/g)).toHaveLength(1)
  expect(body).toMatch(/class="alarm">90 %/)
  expect(body.match(/class="track"/g)).toHaveLength(3)
})

test('a line chart has a legend entry, a line and its points for each series that has any', () => {
  const axis = { label: 'l', isLog: true, tickText: rateTick }
  const points = [1, 10, 100].map((x) => ({ x, y: x, low: x, high: x, hint: `${x}` }))
  const series = [
    { name: 'one', series: 's0', points },
    { name: 'none', series: 's1', points: [] },
  ]
  const { body } = lineChart({ id: 'a', title: 't', desc: 'd', x: axis, y: axis, series })
  expect(body).toContain('>one<')
  expect(body).not.toContain('>none<')
  expect(body.match(/<circle/g)).toHaveLength(4)
  const [, path = ''] = /<path class="line" d="([^"]+)"/.exec(body) ?? []
  const ys = [...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y))
  expect(ys).toEqual(ys.toSorted((a, b) => b - a)) // more is higher, so its y is smaller
})

test('the gap of a time line is as long as nobody had an answer', () => {
  const samples = Array.from({ length: 10 }, (_, i) => ({
    ...{ tS: i + 1, throughputPerS: 100, p99: 10, rssBytes: 1 },
  }))
  const failovers = [{ atS: 5, gapMs: 1_000, fromNode: 1, toNode: 2 }]
  const named = { id: 'a', title: 't', desc: 'd', series: 'xpaxos' }
  const { body } = timeLine({ ...named, samples, failovers, gapText: () => 'gap' })
  const [, x, width] = /class="gap" x="([\d.]+)" y="\d+" width="([\d.]+)"/.exec(body) ?? []
  expect([Number(x), Number(width)]).toEqual([213, 31.4])
})
