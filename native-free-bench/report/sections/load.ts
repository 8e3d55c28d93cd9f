/**
 * Latency against offered load: benches of an open loop (`--rate`), one series an engine and load.
 * Pure.
 */
import { ENGINES, type EngineName } from '../../types.ts'
import { lineChart, type LinePoint } from '../charts/lines.ts'
import type { Chart } from '../charts/svg.ts'
import { type Block, charts, type Section, words } from '../document.ts'
import type { BenchView, ConfigView } from '../model.ts'
import { latency, latencyTick, percent, perSecond, rateTick } from '../units.ts'
import { alarmsOf, idOf, loadText, noiseBlocks, sourceBlock } from './source.ts'

/** Less than this share of what was offered means that the engine could not keep up. */
const KEPT_UP = 0.98
/** p99 above so many times that of the lightest load: the curve has turned up. */
const KNEE = 4

interface Load {
  readonly engine: EngineName
  readonly name: string
  readonly text: string
  /** By offered rate, lightest first. */
  readonly benches: readonly BenchView[]
}

export const isOpenLoop = ({ config }: BenchView): boolean => config.rate !== null

export function loadSection(benches: readonly BenchView[]): Section {
  const measured = benches.filter(({ summary }) => summary !== null)
  const loads = loadsOf(measured)
  const configs = [...new Set(loads.map(({ text }) => text))]
  return {
    id: 'load',
    title: 'Latency against offered load',
    question: 'How long does an entry wait when they come at a steady rate, until it is too much?',
    blocks:
      loads.length === 0
        ? [ABSENT]
        : configs.flatMap((text) =>
            loadBlocks(
              text,
              loads.filter((load) => load.text === text),
            ),
          ),
  }
}

const ABSENT: Block = {
  kind: 'absent',
  text: 'No bench at a given rate is in this folder. Run it at several rates:',
  command: 'xpaxos bench --rate 100000 --json FOLDER/load-100k.json',
}

/** What differs in the rate alone is one line; two of an engine are told apart by a file. */
function loadsOf(benches: readonly BenchView[]): Load[] {
  const groups = new Map<string, BenchView[]>()
  for (const bench of benches) {
    const key = bench.origin.command.replace(/ --rate \S+/, '')
    groups.set(key, [...(groups.get(key) ?? []), bench])
  }
  const loads = [...groups.values()].map((group): Load => {
    const { config } = group[0]!
    const sorted = group.toSorted((a, b) => rateOf(a) - rateOf(b))
    return { engine: config.engine, name: config.engine, text: textOf(config), benches: sorted }
  })
  const isLike = (a: Load, b: Load): boolean => a.engine === b.engine && a.text === b.text
  return loads
    .map((load) => {
      const isOnly = loads.filter((other) => isLike(load, other)).length === 1
      return isOnly ? load : { ...load, name: `${load.engine} ${load.benches[0]!.origin.file}` }
    })
    .toSorted((a, b) => ENGINES.indexOf(a.engine) - ENGINES.indexOf(b.engine))
}

const textOf = (config: ConfigView): string => `${loadText(config)}, ${config.api}`
const rateOf = ({ config }: BenchView): number => config.rate ?? 0

function loadBlocks(text: string, loads: readonly Load[]): Block[] {
  const all = loads.flatMap(({ benches }) => benches)
  const rows = all.map(({ config, summary }) => ({
    label: `${config.engine} at ${perSecond(config.rate ?? 0)}`,
    throughputPerS: summary!.throughputPerS,
  }))
  const origins = all.map(({ origin }) => origin)
  const configs = all.map(({ config }) => config)
  return [
    ...alarmsOf(origins, configs),
    words(
      `${text}. Entries are due at fixed times, and each one's wait counts from the time it was ` +
        'due: a slow answer does not slow the load down.',
    ),
    charts([chartOf(loads)], loads.map(kneeText)),
    { kind: 'table', table: tableOf(all), isOpen: false },
    ...noiseBlocks(rows),
    sourceBlock(
      origins,
      all.flatMap(({ trials }) => trials),
    ),
  ]
}

function chartOf(loads: readonly Load[]): Chart {
  const first = loads[0]!.benches[0]!
  return lineChart({
    id: idOf(first.origin.file, 'load'),
    title: 'Wait by offered rate',
    note: 'solid: 99 of 100 are faster; dashed: half are',
    desc: loads.map(kneeText).join(' '),
    x: { label: 'entries offered a second', isLog: true, tickText: rateTick },
    y: { label: 'latency', isLog: true, tickText: latencyTick },
    series: loads.flatMap(({ engine, name, benches }) => [
      { name: `${name}, p99`, series: engine, points: benches.map(pointOf('p99')) },
      {
        name: `${name}, p50`,
        series: engine,
        isDashed: true,
        points: benches.map(pointOf('p50')),
      },
    ]),
  })
}

const pointOf =
  (key: 'p50' | 'p99') =>
  ({ config, summary }: BenchView): LinePoint => {
    const { median, min, max } = summary!.latencyUs[key]
    const offered = perSecond(config.rate ?? 0)
    const hint = `${config.engine} at ${offered}: ${key} ${latency(median)}`
    return { x: config.rate ?? 0, y: median, low: min, high: max, hint }
  }

/** Where the curve turns up, or that it does not. */
function kneeText({ name, benches }: Load): string {
  const lightest = benches[0]!.summary!.latencyUs.p99.median
  const knee = benches.find(
    (bench) => bench.summary!.latencyUs.p99.median > KNEE * lightest || keptShare(bench) < KEPT_UP,
  )
  const start = `${name}: p99 ${latency(lightest)} at ${perSecond(rateOf(benches[0]!))}`
  if (knee === undefined) {
    const last = benches.at(-1)!
    const tail = latency(last.summary!.latencyUs.p99.median)
    return `${start}, and still ${tail} at ${perSecond(rateOf(last))}, the most that was offered.`
  }
  const kept = keptShare(knee)
  if (knee === benches[0]) return `${start}: too much already, it took ${percent(kept)} of that.`
  const tail = latency(knee.summary!.latencyUs.p99.median)
  const lost = kept < KEPT_UP ? `, where it took ${percent(kept)} of what was offered` : ''
  return `${start}; it turns up at ${perSecond(rateOf(knee))}, p99 ${tail}${lost}.`
}

const keptShare = ({ config, summary }: BenchView): number =>
  summary!.throughputPerS.median / Math.max(1, config.rate ?? 0)

function tableOf(benches: readonly BenchView[]) {
  const head = ['engine', 'offered', 'taken', 'p50', 'p99', 'p99 min to max', 'refused']
  const rows = benches.map(({ config, summary, trials }) => {
    const { throughputPerS, latencyUs } = summary!
    return [
      config.engine,
      perSecond(config.rate ?? 0),
      perSecond(throughputPerS.median),
      latency(latencyUs.p50.median),
      latency(latencyUs.p99.median),
      `${latency(latencyUs.p99.min)} to ${latency(latencyUs.p99.max)}`,
      `${trials.reduce((sum, { refused }) => sum + refused, 0)}`,
    ]
  })
  return { caption: 'Each rate, medians of trials', head, rows }
}
