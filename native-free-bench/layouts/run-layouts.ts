/**
 * Which layout of threads serves which load: every layout under every load in turn, forth and back,
 * and where the time of one entry in flight over sockets goes. For docs/decisions/0003.
 */
import { table } from '../report/text.ts'
import { latency, perSecond } from '../report/units.ts'
import { spreadOf } from '../stats/statistics.ts'
import type { Spread, Transport, TrialResult } from '../types.ts'
import { type Lab, latencies, throughputs } from '../verify/lab.ts'

export const TRANSPORTS = ['memory', 'tcp'] as const satisfies readonly Transport[]
export const INFLIGHT = [1, 64, 4_096, 262_144] as const
export const LAYOUTS = ['inline', 'joined', 'split', 'dedicated'] as const

export interface LayoutRow {
  readonly transport: Transport
  readonly inflight: number
  readonly layout: (typeof LAYOUTS)[number]
  readonly throughputPerS: Spread
  readonly p50Us: Spread
}

/** One entry in flight over sockets, all stages of a node on one thread. */
export interface Path {
  readonly p50Us: Spread
  /** The same load without consensus. */
  readonly limitP50Us: Spread
  /** Busy time an entry by stage, as `n1.decide`; of the WAL, write and sync. */
  readonly stageUs: Readonly<Record<string, number>>
}

export interface LayoutsResult {
  readonly rows: readonly LayoutRow[]
  readonly path: Path
  readonly violations: readonly string[]
}

/** @throws ReplicaError E_ABORTED when interrupted */
export async function runLayouts(lab: Lab): Promise<LayoutsResult> {
  const rows: LayoutRow[] = []
  for (const transport of TRANSPORTS) {
    for (const inflight of INFLIGHT) {
      const load = { transport, inflight: String(inflight) }
      const lanes = Object.fromEntries(LAYOUTS.map((layout) => [layout, { ...load, layout }]))
      const trials = await lab.measure<string>(lanes)
      for (const layout of LAYOUTS) {
        const throughputPerS = spreadOf(throughputs(trials[layout]!))
        const p50Us = spreadOf(latencies(trials[layout]!, 'p50'))
        rows.push({ transport, inflight, layout, throughputPerS, p50Us })
      }
    }
  }
  return { rows, path: await measurePath(lab), violations: lab.violations }
}

async function measurePath(lab: Lab): Promise<Path> {
  const load = { transport: 'tcp', inflight: '1' }
  const { limit, xpaxos } = await lab.measure({
    limit: { engine: 'limit', ...load },
    xpaxos: { engine: 'xpaxos', ...load },
  })
  return {
    p50Us: spreadOf(latencies(xpaxos, 'p50')),
    limitP50Us: spreadOf(latencies(limit, 'p50')),
    stageUs: stageTimes(xpaxos),
  }
}

/** Medians over the trials. */
function stageTimes(trials: readonly TrialResult[]): Record<string, number> {
  const names = Object.keys(trials[0]!.stages)
  return Object.fromEntries(
    names.map((name) => {
      const each = trials.map(({ stages, durationS, entries }) => {
        const busyRatio = stages[name]?.busyRatio ?? 0
        return (1e6 * busyRatio * durationS) / Math.max(1, entries)
      })
      return [name, spreadOf(each).median]
    }),
  )
}

export function layoutsText({ rows, path, violations }: LayoutsResult): string {
  const broken = violations.map((text) => `SAFETY VIOLATION: ${text}\n`).join('')
  const tables = TRANSPORTS.map((transport) => {
    const head = ['in flight', ...LAYOUTS]
    const body = INFLIGHT.map((inflight) => [
      String(inflight),
      ...LAYOUTS.map((layout) => cellOf(rows, { transport, inflight, layout })),
    ])
    return `${transport}: throughput (min to max), p50\n\n${table([head, ...body])}`
  })
  return broken + [...tables, pathText(path)].join('\n')
}

function cellOf(
  rows: readonly LayoutRow[],
  wanted: Pick<LayoutRow, 'transport' | 'inflight' | 'layout'>,
): string {
  const row = rows.find(
    ({ transport, inflight, layout }) =>
      transport === wanted.transport && inflight === wanted.inflight && layout === wanted.layout,
  )
  if (row === undefined) return '-'
  const { median, min, max } = row.throughputPerS
  const rates = `${perSecond(median)} (${perSecond(min)} to ${perSecond(max)})`
  return `${rates}, ${latency(row.p50Us.median)}`
}

/** The way of one entry, top to bottom; the follower's part runs beside the leader's own sync. */
export function pathText({ p50Us, limitP50Us, stageUs }: Path): string {
  const us = (name: string): string => `${(stageUs[name] ?? 0).toFixed(0)} us`
  const step = (name: string): string => `${name.slice(3)} ${us(name)}`
  const spread = ({ median, min, max }: Spread): string =>
    `${latency(median)} (${latency(min)} to ${latency(max)})`
  const follower = ['n2.receive', 'n2.decide', 'n2.wal', 'n2.fanout', 'n2.apply'].map(step)
  return [
    'One entry in flight over sockets: busy time an entry by stage (wal: write and sync). Not',
    'timed: the client with its ingest stage, sockets, the event loop, and waiting for a core.',
    '',
    `client    p50 ${spread(p50Us)}; limit ${spread(limitP50Us)}`,
    '   |',
    `leader    ${['n1.decide', 'n1.fanout'].map(step).join(' -> ')}`,
    '   |  \\',
    `   |   socket -> follower  ${follower.join(' -> ')} -> socket`,
    `   |                       beside: leader ${step('n1.wal')}`,
    '   |  /',
    `leader    ${['n1.receive', 'n1.apply'].map(step).join(' -> ')}`,
    '   |',
    'client',
    '',
  ].join('\n')
}
