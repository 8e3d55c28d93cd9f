/**
 * What stands beside every figure: the command that makes it again, where it ran, how the check of
 * safety ended, warnings; and, loudly, what skipped durability or broke a promise. Pure.
 */
import type { DiskCache } from '../../environment-type.ts'
import type { Environment } from '../../types.ts'
import { alarm, type Block, note } from '../document.ts'
import type { ConfigView, LoadView, Origin, TrialView } from '../model.ts'
import { digits, percent, whole } from '../units.ts'

/** Trials further apart than this share of their median cannot tell small differences. */
const NOISE = 0.3
const MEMORY_DISKS: readonly string[] = ['tmpfs', 'ramfs']

const CACHES: Readonly<Record<DiskCache, string>> = {
  volatile: 'on a disk with a volatile cache, which a sync has to empty',
  'not volatile': 'on a disk that says its cache is not volatile',
  unknown: 'whether its disk has a volatile cache is not known',
}

/** Machine and code; when it was is `timeText`. */
function placeText(environment: Environment | null): string {
  if (environment === null) return 'where it ran is not in the file'
  const { cpuModel, cores, memoryBytes, kernel, node, filesystem, commit, dirty } = environment
  const gibibytes = digits(memoryBytes / 2 ** 30)
  const machine = `${cpuModel}, ${cores} cores, ${gibibytes} GiB; ${kernel}; Node ${node}`
  const code = `commit ${commit.slice(0, 12)}${dirty ? ' with local changes' : ''}`
  return `${machine}; file system ${filesystem}, ${CACHES[environment.diskCache]}; ${code}`
}

/** A line a place, with the time, or from when to when. */
export function environmentTexts(environments: readonly (Environment | null)[]): string[] {
  const times = new Map<string, string[]>()
  for (const one of environments) {
    const place = placeText(one)
    times.set(place, [...(times.get(place) ?? []), ...(one === null ? [] : [one.startedAt])])
  }
  return [...times].map(([place, all]) => `${place}${all.length > 0 ? `; ${timeText(all)}` : ''}`)
}

function timeText(times: readonly string[]): string {
  const shown = times.map((time) => time.slice(0, 16).replace('T', ' ')).sort()
  const [first, last] = [shown[0]!, shown.at(-1)!]
  return first === last ? `${first} UTC` : `${first} to ${last} UTC`
}

/** Command, place, verdict and warnings. */
export function sourceBlock(origins: readonly Origin[], trials: readonly TrialView[] = []): Block {
  const environments = environmentTexts(origins.map(({ environment }) => environment))
  const checked = trials.length === 0 ? [] : [safetyText(trials)]
  const warnings = [...new Set(trials.flatMap((trial) => trial.warnings))]
  const notes = [...environments, ...checked, ...warnings.map((text) => `Warning: ${text}`)]
  const commands = [...new Set(origins.map(({ command }) => command))]
  return { kind: 'source', source: { commands, notes } }
}

/** What must not be overlooked when the figures are read. */
export function alarmsOf(
  origins: readonly Origin[],
  configs: readonly Pick<ConfigView, 'durability'>[] = [],
): Block[] {
  const broken = [...new Set(origins.flatMap(({ violations }) => violations))]
  const kinds = new Set(configs.map(({ durability }) => durability))
  const disks = origins.map(({ environment }) => environment?.filesystem ?? '')
  const blocks = broken.map((text) => alarm(`Safety violation: ${text}`))
  if (kinds.has('os')) blocks.push(alarm(NOT_SYNCED))
  if (kinds.has('none')) blocks.push(alarm(NO_FILES))
  if (kinds.has('fsync') && disks.some((disk) => MEMORY_DISKS.includes(disk)))
    blocks.push(alarm(IN_MEMORY))
  if (origins.some(({ partial }) => partial))
    blocks.push(note('Interrupted: the result is partial; what is here was measured to its end.'))
  return blocks
}

const NOT_SYNCED =
  'Not synced (durability os): entries were acknowledged before they were on a disk, and a power ' +
  'cut could lose them. Do not set these figures beside synced ones.'
const NO_FILES =
  'No files (durability none): nothing was written at all; whatever stops a quorum loses ' +
  'everything. Do not set these figures beside synced ones.'
const IN_MEMORY =
  'The data directory was in memory (tmpfs): a sync cost nothing there and keeps nothing. Do not ' +
  'set these figures beside those of a disk.'

function safetyText(trials: readonly TrialView[]): string {
  const sum = (of: (trial: TrialView) => number): number =>
    trials.reduce((total, trial) => total + of(trial), 0)
  const checked = sum(({ safety }) => safety.checkedEntries)
  const entries = sum((trial) => trial.entries)
  const lost = sum(({ safety }) => safety.entriesLost)
  const twice = sum(({ safety }) => safety.duplicates)
  const broken = sum(({ safety }) => safety.violations)
  const isSafe =
    trials.every(({ safety }) => safety.stateHashesEqual) && lost + twice + broken === 0
  const verdict = isSafe && checked === entries ? 'Safe' : 'NOT SAFE'
  return (
    `${verdict}: ${whole(checked)} of ${whole(entries)} acknowledged entries checked, ` +
    `${whole(lost)} lost, ${whole(twice)} applied twice, ${whole(broken)} violations`
  )
}

/** A warning where trials lie too far apart; nothing where they do not. */
export function noiseBlocks(
  rows: readonly {
    readonly label: string
    readonly throughputPerS: { readonly median: number; readonly min: number; readonly max: number }
  }[],
): Block[] {
  const noisy = rows.flatMap(({ label, throughputPerS: { median, min, max } }) => {
    const apart = median === 0 ? 0 : (max - min) / median
    return apart > NOISE ? [`${label} (${percent(apart)} of its median)`] : []
  })
  if (noisy.length === 0) return []
  const list = noisy.join(', ')
  return [note(`Trials lie far apart for ${list}: read differences of that size as none.`)]
}

/** '3 nodes, memory links, fsync, 16 B an entry'. */
export function loadText(config: LoadView): string {
  const { nodes, transport, durability, payload, rttMs } = config
  const links = transport === 'memory' ? 'one process' : 'a process a node, sockets'
  const sync = durability === 'fsync' ? 'synced logs' : `durability ${durability}`
  const far = rttMs > 0 ? `, ${digits(rttMs)} ms round trip` : ''
  return `${nodes} nodes, ${links}${far}, ${sync}, ${payload} B an entry`
}

/** Letters, digits and dashes: what an id of a page may have. */
export const idOf = (...parts: readonly string[]): string =>
  parts
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
