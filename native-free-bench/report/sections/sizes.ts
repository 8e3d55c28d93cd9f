/** Which batch and pipeline sizes to use: what `xpaxos tune` measured, and what it chose. Pure. */
import { type HeatSign, heatMap } from '../charts/grids.ts'
import type { Chart } from '../charts/svg.ts'
import { type Block, charts, type Section, words } from '../document.ts'
import type { TunePoint, TuneView } from '../model.ts'
import { bytes, latency, percent, perSecond, rateTick } from '../units.ts'
import { alarmsOf, idOf, loadText, sourceBlock } from './source.ts'

export function sizesSection(tunes: readonly TuneView[]): Section {
  const absent: Block = {
    kind: 'absent',
    text: 'No tuning is in this folder.',
    command: 'xpaxos tune --grid --out xpaxos.config.json --json FOLDER/tune.json',
  }
  return {
    id: 'sizes',
    title: 'Which sizes to use',
    question: 'How many bytes in a batch, how many rounds on their way at once?',
    blocks: tunes.length > 0 ? tunes.flatMap(tuneBlocks) : [absent],
  }
}

function tuneBlocks(tune: TuneView): Block[] {
  const { origin, config, points, best, adaptive, gridBest, rationale } = tune
  const load: Block[] = config === null ? [] : [{ kind: 'title', text: loadText(config) }]
  const chart = points.length === 0 ? null : heatChart(tune)
  return [
    ...load,
    ...alarmsOf([origin], config === null ? [] : [config]),
    words(adviceText(best, gridBest, adaptive)),
    ...commandOf(best),
    charts([chart], rationale),
    { kind: 'table', table: tableOf(points), isOpen: false },
    sourceBlock([origin]),
  ]
}

const commandOf = (best: TunePoint | null): Block[] =>
  best === null ? [] : [{ kind: 'command', text: `xpaxos bench ${flagsOf(best)}` }]

const flagsOf = ({ batchMaxBytes, pipelineDepth }: TunePoint): string =>
  `--batch-max-bytes ${batchMaxBytes} --pipeline-depth ${pipelineDepth}`

/** What to use, and how it compares. */
export function adviceText(
  best: TunePoint | null,
  gridBest: TunePoint | null,
  adaptive: TunePoint | null,
): string {
  if (best === null) return 'Nothing was chosen: the tuning ended before it had a winner.'
  const reached = perSecond(best.throughputPerS)
  const tail = best.p99Us === null ? '' : `, p99 ${latency(best.p99Us)}`
  const top = (gridBest ?? best).throughputPerS
  const ofGrid =
    gridBest === null ? '' : ` That is ${percent(best.throughputPerS / top)} of the best measured.`
  const self =
    adaptive === null
      ? ''
      : ` Left to itself (adaptive) the engine reached ${perSecond(adaptive.throughputPerS)}, ` +
        `${percent(adaptive.throughputPerS / top)} of the best measured.`
  const sizes = `batches of at most ${bytes(best.batchMaxBytes)}, ${best.pipelineDepth} rounds`
  return `Use ${sizes} on their way: ${reached}${tail}.${ofGrid}${self}`
}

/** Columns are batch sizes, rows pipeline depths, deepest on top. */
function heatChart({ points, best, adaptive, origin }: TuneView): Chart {
  const columns = sorted(points.map(({ batchMaxBytes }) => batchMaxBytes))
  const depths = sorted(points.map(({ pipelineDepth }) => pipelineDepth)).toReversed()
  const placeOf = (point: TunePoint) => ({
    column: nearest(columns, point.batchMaxBytes),
    row: nearest(depths, point.pipelineDepth),
  })
  const signs: HeatSign[] = []
  if (best !== null) signs.push({ ...placeOf(best), sign: 'star', name: `tuned: ${nameOf(best)}` })
  if (adaptive !== null)
    signs.push({ ...placeOf(adaptive), sign: 'diamond', name: `adaptive: ${nameOf(adaptive)}` })
  const told = signs.map(({ name }) => name).join('; ')
  return heatMap({
    id: idOf(origin.file, 'sizes'),
    title: 'Entries a second by batch and pipeline size',
    desc: `The darker, the nearer to the best of ${points.length} measured points. ${told}.`,
    columnLabel: 'greatest batch',
    rowLabel: 'rounds on their way',
    columns: columns.map(bytes),
    rows: depths.map(String),
    cells: points.map((point) => ({
      ...placeOf(point),
      value: point.throughputPerS,
      text: rateTick(point.throughputPerS),
      hint: `${nameOf(point)}: ${perSecond(point.throughputPerS)}`,
    })),
    signs,
  })
}

const nameOf = ({ batchMaxBytes, pipelineDepth }: TunePoint): string =>
  `${bytes(batchMaxBytes)}, depth ${pipelineDepth}`

const sorted = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b)

/** A point that is not on the grid (the adaptive one) stands in the cell nearest by ratio. */
function nearest(values: readonly number[], wanted: number): number {
  const distance = (value: number): number => Math.abs(Math.log(value / wanted))
  return values.reduce(
    (best, value, i) => (distance(value) < distance(values[best]!) ? i : best),
    0,
  )
}

function tableOf(points: readonly TunePoint[]) {
  const best = Math.max(...points.map(({ throughputPerS }) => throughputPerS), 0)
  const rows = points
    .toSorted((a, b) => b.throughputPerS - a.throughputPerS)
    .map((point) => [
      bytes(point.batchMaxBytes),
      `${point.pipelineDepth}`,
      perSecond(point.throughputPerS),
      percent(best === 0 ? 0 : point.throughputPerS / best),
      point.p99Us === null ? '-' : latency(point.p99Us),
      point.predictedPerS === null ? '-' : perSecond(point.predictedPerS),
    ])
  const head = ['batch', 'depth', 'a second', 'of the best', 'p99', 'predicted']
  return { caption: 'Measured points, best first', head, rows }
}
