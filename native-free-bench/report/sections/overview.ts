/** The first section and the last ones: in short, how to read it, and the files. Pure. */
import type { Block, Card, Section } from '../document.ts'
import type {
  BenchView,
  CompareView,
  ConfigView,
  Folder,
  Stored,
  TrialView,
  TuneView,
} from '../model.ts'
import { bytes, digits, latencyTick, percent, perSecond, whole } from '../units.ts'
import { stepsOf } from './ladder.ts'
import { alarmsOf } from './source.ts'

export interface Sorted {
  readonly engines: readonly CompareView[]
  readonly ladders: readonly CompareView[]
  readonly tunes: readonly TuneView[]
  readonly kills: readonly BenchView[]
}

export function overviewSection(folder: Folder, sorted: Sorted): Section {
  const origins = folder.stored.map(({ origin }) => origin)
  const cards = [
    safetyCard(folder.stored),
    ...engineCards(sorted.engines[0]),
    ...ladderCards(sorted.ladders[0]),
    ...sizeCards(sorted.tunes[0]),
    ...killCards(sorted.kills[0]),
  ]
  return {
    id: 'short',
    title: 'In short',
    question: '',
    blocks: [...alarmsOf(origins, configsOf(folder.stored)), { kind: 'cards', cards }],
  }
}

function configsOf(stored: readonly Stored[]): ConfigView[] {
  return stored.flatMap((one) => {
    if (one.kind === 'bench') return [one.config]
    return one.kind === 'compare' ? one.rows.map(({ config }) => config) : []
  })
}

function trialsOf(stored: readonly Stored[]): TrialView[] {
  return stored.flatMap((one) => {
    if (one.kind === 'bench') return one.trials
    return one.kind === 'compare' ? one.rows.flatMap(({ trials }) => trials) : []
  })
}

function safetyCard(stored: readonly Stored[]): Card {
  const trials = trialsOf(stored)
  const checked = trials.reduce((sum, { safety }) => sum + safety.checkedEntries, 0)
  const lost = trials.reduce((sum, { safety }) => sum + safety.entriesLost, 0)
  const violations = stored.reduce((sum, { origin }) => sum + origin.violations.length, 0)
  const isSafe = lost === 0 && violations === 0
  if (trials.length === 0)
    return { value: '-', text: 'no trial of an engine is in this folder', tone: 'plain' }
  return {
    value: isSafe ? 'Nothing lost' : `${violations} VIOLATIONS`,
    text: `${whole(checked)} acknowledged entries checked in ${trials.length} trials`,
    tone: isSafe ? 'good' : 'bad',
  }
}

function engineCards(compare: CompareView | undefined): Card[] {
  const row = compare?.rows.find(({ engine }) => engine === 'xpaxos')
  if (row === undefined) return []
  const limit = compare!.rows.find(({ engine }) => engine === 'limit')
  const rate = row.throughputPerS.median
  const synced = row.config.durability === 'fsync' ? 'synced' : 'NOT synced'
  const cards: Card[] = [
    { value: perSecond(rate), text: `entries agreed on and ${synced} by xpaxos`, tone: 'plain' },
    {
      value: `${digits(row.ratio.median)} x`,
      text: `the throughput of ${compare!.rows[0]!.label}, each at its best`,
      tone: 'plain',
    },
  ]
  if (limit !== undefined)
    cards.push({
      value: percent(rate / limit.throughputPerS.median),
      text: 'of what this machine does without any agreement (limit)',
      tone: 'plain',
    })
  return cards
}

/** The step with the greatest factor. */
function ladderCards(ladder: CompareView | undefined): Card[] {
  if (ladder === undefined) return []
  const steps = stepsOf(ladder).flatMap(({ row, factor }) => (factor ? [{ row, factor }] : []))
  const best = steps.toSorted((a, b) => b.factor.median - a.factor.median)[0]
  if (best === undefined) return []
  const text = `bought by ${best.row.label.replace(/^\+ /, '')}, the greatest step of the ladder`
  return [{ value: `${digits(best.factor.median)} x`, text, tone: 'plain' }]
}

function sizeCards(tune: TuneView | undefined): Card[] {
  const best = tune?.best ?? null
  if (best === null) return []
  const text = `batches and ${best.pipelineDepth} rounds on their way serve best here`
  return [{ value: bytes(best.batchMaxBytes), text, tone: 'plain' }]
}

function killCards(kill: BenchView | undefined): Card[] {
  const gaps = (kill?.trials ?? []).flatMap(({ failover }) => failover.map(({ gapMs }) => gapMs))
  if (gaps.length === 0) return []
  const text = 'without an answer when the leader is killed'
  return [{ value: latencyTick(Math.max(...gaps) * 1_000), text, tone: 'plain' }]
}

/** Words of the page, for who meets them first. */
export const WORDS_SECTION: Section = {
  id: 'words',
  title: 'How to read it',
  question: '',
  blocks: [
    {
      kind: 'list',
      items: [
        'Entry: one command that all nodes agree on, in one order. Acknowledged: the client was ' +
          'told that it is in, which is after a quorum of disks has it.',
        'In flight: entries sent and not yet acknowledged, all clients together. A closed loop ' +
          'keeps their number; an open loop sends at a rate, whatever the answers do.',
        'p50, p99: half, or 99 of 100 entries were faster. Latency is from the sending, or in an ' +
          'open loop from the time it was due, to the acknowledgement.',
        'Trials, not entries, are the sample: figures are medians of trials; a thin line is from ' +
          'the worst trial to the best. A 95 % interval that holds 1 tells no difference; p is ' +
          'the chance of such a difference by luck alone.',
        'Absolute figures hold for one machine at one hour; ratios of one run travel further.',
        'Commands are typed in a checkout after npm ci, with npm run -s xpaxos -- for xpaxos; ' +
          'FOLDER is the folder of results. xpaxos report FOLDER writes this page again.',
        'Safe means: what clients were told was set beside what every node applied and what its ' +
          'disk has afterwards, in every trial.',
      ],
    },
  ],
}

export function filesSection({ stored, unread }: Folder): Section {
  const rows = stored.map(({ origin }) => [
    origin.file,
    `${origin.schema}${origin.partial ? ', partial' : ''}`,
    { code: origin.command },
  ])
  const damaged: Block[] =
    unread.length === 0
      ? []
      : [
          { kind: 'note', text: `${unread.length} files are not shown:` },
          { kind: 'list', items: unread.map(({ file, reason }) => `${file}: ${reason}`) },
        ]
  const head = ['file', 'schema', 'made again by']
  return {
    id: 'files',
    title: 'Files',
    question: 'What the page was made of.',
    blocks: [
      ...damaged,
      { kind: 'table', table: { caption: 'Files of the folder', head, rows }, isOpen: true },
    ],
  }
}
