/** How busy each stage of each node was, and which one bounds the throughput. Pure. */
import { spreadOf } from '../../stats/statistics.ts'
import { busyChart } from '../charts/grids.ts'
import type { Chart } from '../charts/svg.ts'
import { type Block, charts, words } from '../document.ts'
import type { ConfigView, TrialView } from '../model.ts'
import { percent } from '../units.ts'
import { idOf } from './source.ts'

interface Measured {
  readonly label: string
  readonly engine: string
  readonly config: ConfigView
  readonly trials: readonly TrialView[]
}

interface Busy {
  readonly node: string
  readonly stage: string
  readonly ratio: number
}

/** From here on a stage has no time left. */
const SATURATED = 0.85
const NODES_MAX = 5
/** More columns have no room for a role. */
const NAMED_MAX = 4
const NEVER_BUSY = 0.005

/** A chart an engine that has stages, and a sentence that names its busiest one. */
export function busyBlocks(rows: readonly Measured[], file: string): Block[] {
  const shown = rows.flatMap((row) => {
    const busy = busyOf(row.trials)
    return busy.length === 0 ? [] : [{ row, busy }]
  })
  if (shown.length === 0) return []
  return [
    { kind: 'title', text: 'What each stage was busy with' },
    words(
      'The share of time that a stage worked. Stages that share a thread share its core, so that ' +
        'less than 100 % can be all there is.',
    ),
    charts(
      shown.map(({ row, busy }) => chartOf(row, busy, file)),
      shown.map(({ row, busy }) => bottleneckText(row.label, busy)),
    ),
    { kind: 'table', table: tableOf(shown), isOpen: false },
  ]
}

/** Medians over the trials, node by node; stages are named `n1.wal`. */
function busyOf(trials: readonly TrialView[]): Busy[] {
  const names = [...new Set(trials.flatMap(({ stages }) => Object.keys(stages)))]
  return names.sort(byNode).map((name) => {
    const ratios = trials.map(({ stages }) => stages[name]?.busyRatio ?? 0)
    const dot = name.indexOf('.')
    const node = dot < 0 ? '' : name.slice(0, dot)
    return { node, stage: name.slice(dot + 1), ratio: spreadOf(ratios).median }
  })
}

/** Stages of a node stay in the order of the file, which is that of a batch's way. */
const byNode = (a: string, b: string): number => nodeOf(a) - nodeOf(b)
const nodeOf = (name: string): number => Number(/^n(\d+)[.]/.exec(name)?.[1] ?? 0)

function chartOf({ label, engine, config }: Measured, busy: readonly Busy[], file: string): Chart {
  const nodes = [...new Set(busy.map(({ node }) => node))].slice(0, NODES_MAX)
  const seen = busy.filter(({ node, ratio }) => nodes.includes(node) && ratio >= NEVER_BUSY)
  const isSeen = (stage: string): boolean => seen.some((one) => one.stage === stage)
  const stages = [...new Set(busy.map(({ stage }) => stage))].filter(isSeen)
  const ratioAt = (stage: string, node: string): number | null =>
    busy.find((one) => one.stage === stage && one.node === node)?.ratio ?? null
  return busyChart({
    id: idOf(file, label, 'busy'),
    title: `${label}: busy time by stage`,
    desc: bottleneckText(label, busy),
    nodes: nodes.length > NAMED_MAX ? nodes : nodes.map((node) => nodeName(node, config)),
    stages,
    ratios: stages.map((stage) => nodes.map((node) => ratioAt(stage, node))),
    series: engine,
  })
}

function nodeName(node: string, { roles }: ConfigView): string {
  const role = roles[Number(node.slice(1)) - 1]
  return role === undefined ? node : `${node} ${role}`
}

function bottleneckText(label: string, busy: readonly Busy[]): string {
  const busiest = busy.reduce((most, one) => (one.ratio > most.ratio ? one : most))
  const name = busiest.node === '' ? busiest.stage : `${busiest.node}.${busiest.stage}`
  const share = percent(busiest.ratio)
  const meaning =
    busiest.ratio >= SATURATED
      ? 'it has no time left, so it is what bounds the throughput'
      : 'no stage is full: waiting (for syncs, for answers, for a core) bounds the throughput'
  return `${label}: busiest is ${name}, ${share} of the time; ${meaning}.`
}

function tableOf(shown: readonly { row: Measured; busy: readonly Busy[] }[]) {
  const stages = [...new Set(shown.flatMap(({ busy }) => busy.map(({ stage }) => stage)))]
  const rows = shown.flatMap(({ row, busy }) => {
    const nodes = [...new Set(busy.map(({ node }) => node))]
    return nodes.map((node) => {
      const mine = busy.filter((one) => one.node === node)
      const shares = stages.map((stage) => mine.find((one) => one.stage === stage)?.ratio)
      const figures = shares.map((ratio) => (ratio === undefined ? '-' : percent(ratio)))
      return [`${row.label} ${node}`.trim(), ...figures]
    })
  })
  return { caption: 'Busy time by stage, medians of trials', head: ['node', ...stages], rows }
}
