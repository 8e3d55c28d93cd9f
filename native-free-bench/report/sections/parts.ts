/**
 * What is measured or judged apart from whole engines: layouts of threads, parts of the code,
 * promised figures, simulated schedules and planted faults. Each is null where there is none. Pure.
 */
import { lineChart } from '../charts/lines.ts'
import { type Block, charts, type Section, words } from '../document.ts'
import type { LayoutsView, MutantsView, Origin, SimView, SuitesView, VerifyView } from '../model.ts'
import { digits, latency, perSecond, rateTick, whole } from '../units.ts'
import { alarmsOf, idOf, sourceBlock } from './source.ts'

export function verifySection(views: readonly VerifyView[]): Section | null {
  return sectionOf(views, 'verify', 'Promised figures', 'Which promises are kept here?', (view) => {
    const kept = view.figures.filter(({ isKept }) => isKept).length
    const head = ['figure', 'promised', 'median', 'min', 'max', 'kept', 'note']
    const rows = view.figures.map(({ name, claim, unit, spread, isKept, note }) => {
      const show = (value: number): string => shown(value, unit)
      const range = [show(spread.median), show(spread.min), show(spread.max)]
      return [name, claim, ...range, isKept ? 'yes' : 'NO', note]
    })
    const missing = view.missing.map((text) => `Not measured: ${text}`)
    return [
      words(`${kept} of ${view.figures.length} figures are kept.`),
      { kind: 'table', table: { caption: 'Figures', head, rows }, isOpen: true },
      { kind: 'list', items: missing },
    ]
  })
}

function shown(value: number, unit: VerifyView['figures'][number]['unit']): string {
  if (unit === 'perS') return perSecond(value)
  return unit === 'us' ? latency(value) : digits(value)
}

export function layoutsSection(views: readonly LayoutsView[]): Section | null {
  const question = 'How many threads should the stages of a node share?'
  return sectionOf(views, 'layouts', 'Layouts of threads', question, (view) => {
    const transports = [...new Set(view.rows.map(({ transport }) => transport))]
    const rows = view.rows.map(({ transport, inflight, layout, throughputPerS, p50Us }) => [
      transport,
      whole(inflight),
      layout,
      perSecond(throughputPerS.median),
      `${perSecond(throughputPerS.min)} to ${perSecond(throughputPerS.max)}`,
      latency(p50Us.median),
    ])
    const head = ['links', 'in flight', 'layout', 'a second', 'min to max', 'p50']
    return [
      charts(transports.map((transport) => layoutChart(view, transport))),
      { kind: 'table', table: { caption: 'Each layout', head, rows }, isOpen: false },
    ]
  })
}

function layoutChart({ rows, origin }: LayoutsView, transport: string) {
  const mine = rows.filter((row) => row.transport === transport)
  const layouts = [...new Set(mine.map(({ layout }) => layout))]
  return lineChart({
    id: idOf(origin.file, transport),
    title: `Entries a second by layout, ${transport} links`,
    desc: 'Throughput against entries in flight, a line a layout, with the range of trials.',
    x: { label: 'entries in flight', isLog: true, tickText: rateTick },
    y: { label: 'entries a second', isLog: true, tickText: rateTick },
    series: layouts.map((layout, i) => ({
      name: layout,
      series: `s${i % 6}`,
      points: mine
        .filter((row) => row.layout === layout)
        .map(({ inflight, throughputPerS: { median, min, max } }) => ({
          ...{ x: inflight, y: median, low: min, high: max },
          hint: `${layout}, ${inflight} in flight: ${perSecond(median)}`,
        })),
    })),
  })
}

export function suitesSection(views: readonly SuitesView[]): Section | null {
  const question = 'What does one call of each part cost?'
  return sectionOf(views, 'parts', 'Parts', question, ({ suites }) =>
    suites.flatMap(({ suite, question: asked, rows }): Block[] => {
      const body = rows.map((row) => [
        row.name,
        digits(row.nsPerCallMedian),
        digits(row.nsPerCallP99),
        `${digits(row.errorPercent)} %`,
        whole(row.samples),
      ])
      const head = ['ns a call', 'median', 'p99', 'error', 'samples']
      const table = { caption: `${suite}: ${asked}`, head, rows: body }
      return [{ kind: 'table', table, isOpen: false }]
    }),
  )
}

export function simSection(views: readonly SimView[]): Section | null {
  const question = 'What did simulated clusters, under faults, do wrong?'
  return sectionOf(views, 'simulation', 'Simulation', question, ({ parts }) => {
    const head = ['part', 'schedules', 'events', 'violations']
    const rows = parts.map(({ name, schedules, events, violations }) => [
      ...[name, whole(schedules), whole(events), whole(violations)],
    ])
    return [{ kind: 'table', table: { caption: 'Seeded schedules', head, rows }, isOpen: true }]
  })
}

export function mutantsSection(views: readonly MutantsView[]): Section | null {
  const question = 'Would the simulator notice if the engine were wrong?'
  return sectionOf(views, 'mutants', 'Planted faults', question, (view) => {
    const { mutants, survivors, median } = view
    const caught = `${mutants - survivors.length} of ${mutants} planted faults were caught`
    return [words(`${caught}, half of them within ${median} schedules.`)]
  })
}

function sectionOf<View extends { readonly origin: Origin }>(
  views: readonly View[],
  id: string,
  title: string,
  question: string,
  blocksOf: (view: View) => Block[],
): Section | null {
  if (views.length === 0) return null
  const blocks = views.flatMap((view) => [
    ...alarmsOf([view.origin]),
    ...blocksOf(view),
    sourceBlock([view.origin]),
  ])
  return { id, title, question, blocks }
}
