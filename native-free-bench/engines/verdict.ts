/**
 * The safety verdict of a trial: what clients were told, against what every node applied and what
 * lies in every node's log on disk afterwards. Violations are sentences; none means safe.
 *
 * Checked: per client, every acknowledged entry was applied by every living data node, once, in
 * order, and the bytes fold to the client's own checksum; equal state hashes; after the run the
 * retained logs, read again from disk, agree frame by frame, and the highest acknowledged index is
 * on a quorum of the voters; a learner's disk counts for nothing, but must not differ.
 */
import type { ApplyReport } from '../../src/engine/apply-report.ts'
import { inspectWal, scanLog } from '../../src/wal/inspect.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import type { Safety } from '../types.ts'
import type { ClientTally } from './load.ts'

const DETAILS_MAX = 20

export interface NodeEnd {
  readonly id: number
  readonly role: string
  readonly dataDir: string | null
  /** Null: killed, or keeps no state. */
  readonly report: ApplyReport | null
  readonly alive: boolean
}

export interface VerdictInput {
  readonly nodes: readonly NodeEnd[]
  readonly clients: readonly ClientTally[]
  /** Measured entries, a part of all that were acknowledged. */
  readonly entries: number
  /** Highest index that every living node knew to be chosen at the end. */
  readonly chosen: number
  readonly basicPaxos: boolean
  /** Voters that must have what is acknowledged; null: most of them. */
  readonly acceptQuorum: number | null
  readonly failures: readonly string[]
}

export function verdictOf(input: VerdictInput): Safety {
  const problems = [...input.failures]
  if (input.entries > 0 && input.clients.length === 0) {
    problems.push(`${input.entries} entries were measured, and no client says what it was told`)
  }
  const data = input.nodes.filter(({ alive, role }) => alive && role !== 'logger')
  const reports: { readonly id: number; readonly report: ApplyReport }[] = []
  for (const { id, report } of data) {
    if (report === null) problems.push(`node ${id}: ended without a report`)
    else reports.push({ id, report })
  }
  let duplicates = 0
  for (const { id, report } of reports) {
    duplicates = Math.max(duplicates, report.duplicates)
    if (report.duplicates > 0) problems.push(`node ${id}: ${report.duplicates} applied twice`)
    if (report.gaps > 0) problems.push(`node ${id}: ${report.gaps} gaps in a client's sequence`)
  }
  let lost = 0
  for (const client of input.clients) lost += checkClient(client, reports, problems)
  const hashes = new Set(reports.map(({ report }) => report.stateHash))
  if (hashes.size > 1) problems.push(`state hashes differ: ${[...hashes].join(', ')}`)
  if (input.basicPaxos) checkInstances(input, problems)
  else checkLogs(input, problems)
  return {
    checkedEntries: problems.length === 0 ? input.entries : Math.max(0, input.entries - lost - 1),
    entriesLost: lost,
    duplicates,
    stateHashesEqual: hashes.size <= 1,
    violations: problems.length,
    violationDetails: problems.slice(0, DETAILS_MAX),
  }
}

/** @returns acknowledged entries that some living data node did not apply */
function checkClient(
  client: ClientTally,
  reports: readonly { readonly id: number; readonly report: ApplyReport }[],
  problems: string[],
): number {
  const { id, acknowledged, submitted } = client
  let lost = 0
  for (const { id: node, report } of reports) {
    const seen = report.clients.find((one) => one.id === id) ?? { through: 0, fold: 0 }
    if (seen.through < acknowledged) {
      lost = Math.max(lost, acknowledged - seen.through)
      problems.push(`node ${node}: client ${id} was told ${acknowledged}, applied ${seen.through}`)
    } else if (submitted >= 0 && seen.through > submitted) {
      problems.push(`node ${node}: client ${id} sent ${submitted}, applied ${seen.through}`)
    } else if (seen.through === acknowledged && seen.fold !== client.acknowledgedFold) {
      problems.push(`node ${node}: client ${id}: the applied bytes are not those acknowledged`)
    } else if (seen.through === submitted && seen.fold !== client.submittedFold) {
      problems.push(`node ${node}: client ${id}: the applied bytes are not those submitted`)
    }
  }
  return lost
}

/**
 * Reads every retained log again and compares it with the others'. A node that died may hold a
 * suffix that nobody chose, where the living have gone on with another: it differs from there on
 * and holds nothing of what they chose. What it had acknowledged, the clients' tallies cover.
 */
function checkLogs({ nodes, chosen, acceptQuorum }: VerdictInput, problems: string[]): void {
  const onDisk = nodes.filter(({ dataDir }) => dataDir !== null)
  if (onDisk.length === 0) return
  const storage = openStorage()
  const chains = new Map<number, number>()
  let holders = 0
  const livingFirst = onDisk.toSorted((a, b) => Number(b.alive) - Number(a.alive))
  for (const { id, dataDir, role, alive } of livingFirst) {
    let last = 0
    let differs = 0
    scanLog(storage, dataDir!, (_first, through, chain) => {
      last = through
      if (through > chosen) return
      const known = chains.get(through)
      if (known === undefined) chains.set(through, chain)
      else if (known !== chain && differs === 0) differs = through
    })
    if (differs > 0 && alive) {
      problems.push(`node ${id}: its log differs from the others' at ${differs}`)
    }
    if (differs === 0 && last >= chosen && role !== 'learner') holders += 1
  }
  const voters = nodes.filter(({ role }) => role !== 'learner').length
  const quorum = acceptQuorum ?? (voters >> 1) + 1
  if (holders < quorum) problems.push(`index ${chosen} is on ${holders} disks, not on ${quorum}`)
}

/** Basic Paxos: every chosen instance has one value on a quorum of disks. */
function checkInstances({ nodes, chosen }: VerdictInput, problems: string[]): void {
  const onDisk = nodes.filter(({ dataDir }) => dataDir !== null)
  if (onDisk.length === 0) return
  const storage = openStorage()
  const values = onDisk.map(({ dataDir }) => {
    const held = new Map<number, number>()
    inspectWal(storage, dataDir!, ({ record, frames }) => {
      const frame = frames[0]
      if ('instance' in record && frame !== undefined) held.set(record.instance, frame.headerCrc)
    })
    return held
  })
  const quorum = (nodes.length >> 1) + 1
  for (let instance = 1; instance <= chosen; instance++) {
    const counts = new Map<number, number>()
    for (const held of values) {
      const value = held.get(instance)
      if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1)
    }
    if (Math.max(0, ...counts.values()) >= quorum) continue
    problems.push(`instance ${instance} has no value on ${quorum} disks`)
    return
  }
}
