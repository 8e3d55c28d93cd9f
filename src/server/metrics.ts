/**
 * Metrics in the form of Prometheus, read from the nodes when they are asked for: nothing is kept
 * twice, and no stage is disturbed. Names follow docs/operations.md. Caller's thread.
 */
import { Counter, Gauge, Registry } from 'prom-client'
import type { NodeEvent } from '../engine/node.ts'
import type { NodeStatistics, NodeStatus } from '../engine/node-status.ts'
import type { Hosted } from './hosted.ts'

export interface Metrics {
  readonly type: string
  text(): Promise<string>
  onEvent(event: NodeEvent): void
  /** A request of a client ended so. */
  onRequest(route: string, status: number): void
}

const ALARMS: ReadonlySet<string> = new Set(['chain-mismatch', 'frame-invalid', 'log-full'])

export function createMetrics(hosted: Hosted, connections: () => number): Metrics {
  const registry = new Registry()
  const registers = [registry]
  addNodeMetrics(registry, hosted)
  const leaders = new Counter({
    name: 'xpaxos_server_leader_changes_seen_total',
    help: 'Changes of the leader that the node follows, since it started.',
    labelNames: ['node'],
    registers,
  })
  for (const { name: node } of hosted.nodes) leaders.inc({ node }, 0)
  const alarms = new Counter({
    name: 'xpaxos_alarms_total',
    help: 'Events that need a person.',
    labelNames: ['node', 'alarm'],
    registers,
  })
  const requests = new Counter({
    name: 'xpaxos_http_requests_total',
    help: 'Requests of clients over HTTP that were answered.',
    labelNames: ['route', 'status'],
    registers,
  })
  new Gauge({
    name: 'xpaxos_http_connections',
    help: 'Open connections of clients over HTTP.',
    registers,
    collect() {
      this.set(connections())
    },
  })
  return {
    type: registry.contentType,
    text: () => registry.metrics(),
    onEvent(event) {
      if (event.kind !== 'event') return
      const node = hosted.nameOf(event.node)
      if (event.name === 'leader' && event.value !== 0) leaders.inc({ node })
      if (ALARMS.has(event.name)) alarms.inc({ node, alarm: event.name })
    },
    onRequest: (route, status) => requests.inc({ route, status: String(status) }),
  }
}

interface Look {
  readonly status: NodeStatus
  readonly statistics: NodeStatistics
}
type Row = readonly [
  name: string,
  kind: 'gauge' | 'counter',
  help: string,
  read: (look: Look) => number,
]

const SECOND_MS = 1_000

const ROWS: readonly Row[] = [
  [
    'server_has_leader',
    'gauge',
    '1: the node follows a leader, or leads.',
    ({ status }) => Number(status.leader !== 0),
  ],
  [
    'server_is_leader',
    'gauge',
    '1: the node leads.',
    ({ status }) => Number(status.role === 'leader'),
  ],
  [
    'server_proposals_committed_total',
    'gauge',
    'Index through which the log is chosen, as this node knows.',
    ({ status }) => status.chosen,
  ],
  [
    'server_proposals_applied_total',
    'gauge',
    'Index through which the state machine has executed it.',
    ({ status }) => status.applied,
  ],
  [
    'server_proposals_pending',
    'gauge',
    'Entries of the log that are not known chosen.',
    ({ status }) => Math.max(0, status.last - status.chosen),
  ],
  [
    'log_durable_index',
    'gauge',
    'Index through which the log is on this disk.',
    ({ status }) => status.durable,
  ],
  [
    'log_first_retained_index',
    'gauge',
    'First index that is still on this disk.',
    ({ status }) => status.firstRetained,
  ],
  [
    'network_peer_round_trip_time_seconds',
    'gauge',
    'Round trip of heartbeats, smoothed; 0: not measured.',
    ({ status }) => status.roundTripUs / 1e6,
  ],
  [
    'disk_wal_fsyncs_total',
    'counter',
    'Syncs of the log.',
    ({ statistics }) => statistics.stages.wal.syncs,
  ],
  [
    'disk_wal_fsync_seconds_total',
    'counter',
    'Time in those syncs, their writes included.',
    ({ statistics }) => statistics.stages.wal.syncMs / SECOND_MS,
  ],
  [
    'disk_wal_written_bytes_total',
    'counter',
    'Bytes handed to the log.',
    ({ statistics }) => statistics.stages.wal.sizeBytes,
  ],
]

function addNodeMetrics(registry: Registry, hosted: Hosted): void {
  for (const [name, kind, help, read] of ROWS) {
    const labelNames = ['node']
    const own = { name: `xpaxos_${name}`, help, labelNames, registers: [registry] }
    const collect = (take: (labels: Record<string, string>, value: number) => void): void => {
      for (const { name: node, node: replica } of hosted.nodes)
        take({ node }, read({ status: replica.status(), statistics: replica.statistics() }))
    }
    addMetric(kind, own, collect)
  }
  addStageMetrics(registry, hosted)
}

interface Described {
  readonly name: string
  readonly help: string
  readonly labelNames: string[]
  readonly registers: Registry[]
}
type Collect = (take: (labels: Record<string, string>, value: number) => void) => void

/** The node counts; here its count is only shown. */
function addMetric(kind: 'gauge' | 'counter', own: Described, collect: Collect): void {
  if (kind === 'gauge') {
    new Gauge({
      ...own,
      collect() {
        collect((labels, value) => this.set(labels, value))
      },
    })
    return
  }
  new Counter({
    ...own,
    collect() {
      this.reset()
      collect((labels, value) => this.inc(labels, value))
    },
  })
}

const STAGE_ROWS = [
  ['stage_batches_total', 'Batches that a stage has handled.', 'batches', 1],
  ['stage_entries_total', 'Entries that a stage has handled.', 'entries', 1],
  ['stage_busy_seconds_total', 'Time that a stage has worked.', 'busyMs', SECOND_MS],
] as const

function addStageMetrics(registry: Registry, { nodes }: Hosted): void {
  const registers = [registry]
  for (const [name, help, field, divisor] of STAGE_ROWS) {
    const own = { name: `xpaxos_${name}`, help, labelNames: ['node', 'stage'], registers }
    addMetric('counter', own, (take) => {
      for (const { name: node, node: replica } of nodes)
        for (const [stage, counts] of Object.entries(replica.statistics().stages))
          take({ node, stage }, counts[field] / divisor)
    })
  }
  const rings = { labelNames: ['node', 'ring'], registers }
  const help = 'Claims that a full ring refused.'
  addMetric('counter', { ...rings, name: 'xpaxos_ring_stalls_total', help }, (take) => {
    for (const { name: node, node: replica } of nodes)
      for (const [ring, { stalls }] of Object.entries(replica.statistics().rings))
        take({ node, ring }, stalls)
  })
}
