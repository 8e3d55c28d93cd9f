/**
 * A folder of results as a report: which sections there are, and in which order; then as a page, as
 * a text, and as the two charts that a README can show. Pure: views in, files out.
 */
import { svgFile } from './charts/svg.ts'
import type { Report, Section } from './document.ts'
import { htmlOf } from './html.ts'
import { markdownOf } from './markdown.ts'
import type { BenchView, Folder, Stored } from './model.ts'
import { benchesSection, isKill, killSection } from './sections/benches.ts'
import { engineCharts, enginesSection } from './sections/engines.ts'
import { ladderChart, ladderSection } from './sections/ladder.ts'
import { isOpenLoop, loadSection } from './sections/load.ts'
import { filesSection, overviewSection, WORDS_SECTION } from './sections/overview.ts'
import {
  layoutsSection,
  mutantsSection,
  simSection,
  suitesSection,
  verifySection,
} from './sections/parts.ts'
import { sizesSection } from './sections/sizes.ts'
import { environmentTexts } from './sections/source.ts'

/** Files of a report by name: summary.md, report.html, and charts where there is what they show. */
export function reportFiles(folder: Folder): Record<string, string> {
  const report = reportOf(folder)
  const compares = ofKind(folder, 'compare').filter(({ rows }) => rows.length > 0)
  const engines = compares.find(({ config }) => !config.ladder)
  const ladder = compares.find(({ config }) => config.ladder)
  const images: Record<string, string> = {}
  if (engines !== undefined) images['chart.svg'] = svgFile(engineCharts(engines))
  if (ladder !== undefined) images['ladder.svg'] = svgFile([ladderChart(ladder)])
  const shown = { engines: 'chart.svg', ladder: 'ladder.svg' }
  const here = Object.entries(shown).filter(([, file]) => file in images)
  return {
    'summary.md': markdownOf(report, Object.fromEntries(here)),
    'report.html': htmlOf(report),
    ...images,
  }
}

export function reportOf(folder: Folder): Report {
  const compares = ofKind(folder, 'compare')
  const benches = ofKind(folder, 'bench')
  const engines = compares.filter(({ config }) => !config.ladder)
  const ladders = compares.filter(({ config }) => config.ladder)
  const kills = benches.filter(isKill)
  const tunes = ofKind(folder, 'tune')
  const sections: (Section | null)[] = [
    overviewSection(folder, { engines, ladders, tunes, kills }),
    enginesSection(engines),
    ladderSection(ladders),
    sizesSection(tunes),
    loadSection(benches.filter((bench: BenchView) => isOpenLoop(bench) && !isKill(bench))),
    killSection(kills),
    benchesSection(benches),
    verifySection(ofKind(folder, 'verify')),
    layoutsSection(ofKind(folder, 'layouts')),
    suitesSection(ofKind(folder, 'suites')),
    simSection(ofKind(folder, 'sim')),
    mutantsSection(ofKind(folder, 'mutants')),
    WORDS_SECTION,
    filesSection(folder),
  ]
  return { ...headOf(folder), sections: sections.filter((section) => section !== null) }
}

function headOf({ stored }: Folder): Pick<Report, 'title' | 'lead'> {
  const environments = stored.flatMap(({ origin }) => origin.environment ?? [])
  const first = environments.toSorted((a, b) => (a.startedAt < b.startedAt ? -1 : 1))[0]
  if (first === undefined) return { title: 'Results', lead: [] }
  const places = environmentTexts(environments)
  const others =
    places.length > 1 ? ['Some results are of other machines or commits: each says of which.'] : []
  const title = `Results of ${first.startedAt.slice(0, 10)}`
  return { title, lead: [`${places[0]!}.`, ...others] }
}

const ofKind = <Kind extends Stored['kind']>(
  { stored }: Folder,
  kind: Kind,
): Extract<Stored, { kind: Kind }>[] =>
  stored.filter((one): one is Extract<Stored, { kind: Kind }> => one.kind === kind)
