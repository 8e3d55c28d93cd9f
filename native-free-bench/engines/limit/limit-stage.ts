/**
 * The coordinator of the engine `limit` over memory: what is left of a replicated log when nothing
 * can go wrong. Every frame that ingest made is ordered to the WAL of every node; what a quorum has
 * synced is chosen, told to ingest and ordered to every applier; all read the bytes where ingest
 * wrote them. No ballots, no messages, no copies.
 *
 *     ingest --[FRAME]--> limit --[APPEND, TRIM]--> wal of each node --[DURABLE]--> limit
 *                         limit --[CHOSEN]--> ingest
 *                         limit --[APPLY]--> apply of each data node --[APPLIED]--> limit
 *
 * Invariant: ring bytes are freed when every live node has synced and every live data node has
 * applied them. Never blocks; runs on the caller's thread, the releaser of ring 0.
 */
import { writeRecord } from '../../../src/codec/record.ts'
import type { Ballot, LogIndex } from '../../../src/core/ids.ts'
import { type CellRing, available } from '../../../src/ring/cell-ring.ts'
import { type LogRing, release } from '../../../src/ring/log-ring.ts'
import * as cell from '../../../src/stages/cells.ts'
import { type OutPort, claim, drain, flush } from '../../../src/stages/port.ts'
import {
  type Retention,
  noteAppended,
  safeThrough,
  trimmable,
} from '../../../src/stages/retention.ts'
import { Gather, type Part, Parts, quorumOf } from './parts.ts'

const EVENTS_MAX = 1_024

export interface LimitMember {
  readonly id: number
  readonly votes: boolean
  /** Null: keeps no state. */
  readonly toApply: OutPort | null
  readonly fromApply: CellRing
  readonly toWal: OutPort
  readonly fromWal: CellRing
  readonly retention: Retention
  isDead: boolean
  durableLsn: number
  durable: number
  appliedLsn: number
  applied: number
}

export interface LimitWiring {
  readonly ballot: number
  readonly members: readonly LimitMember[]
  readonly log: LogRing
  readonly submitted: CellRing
  readonly toIngest: OutPort
  readonly partBytesMax: number
  /** Bytes were freed: whoever was refused for want of room may try again. */
  readonly onRoom: () => void
}

export interface LimitStage {
  /** Orders what was submitted since; cheap enough for between two frames. */
  order(): number
  doWork(): number
  readonly last: number
  readonly chosen: number
  /** The node is gone: nothing waits for it any more. */
  drop(id: number): void
  /** True when the node has synced and applied everything. */
  isSettled(id: number): boolean
}

export function createLimitStage(wiring: LimitWiring): LimitStage {
  const { members, log, submitted, toIngest, ballot } = wiring
  const voters = members.filter(({ votes }) => votes)
  const marks: number[] = []
  const scratch: number[] = []
  const parts = new Parts()
  const gather = new Gather(wiring.partBytesMax)
  let chosenLsn = 0
  let chosen = 0
  let last = 0

  const onSubmitted = (words: Float64Array, base: number): number => {
    const part = gather.add(words, base, parts.nextLsn)
    if (part !== null) append(part)
    return 1
  }
  const append = (part: Part): void => {
    parts.push(part)
    last = part.through
    const prev = (part.first - 1) as LogIndex
    const through = part.through as LogIndex
    const record = { kind: 'entries', ballot: ballot as Ballot, prev, through } as const
    for (const { isDead, toWal, retention } of members) {
      if (isDead) continue
      const base = claim(toWal)
      const { words } = toWal
      writeRecord(record, words, base)
      words[base + 1] = part.lsn
      words[base + cell.AT_SIZE] = part.sizeBytes
      words[base + cell.AT_FRAMES] = part.frames
      words[base + 5] = chosen
      words[base + cell.AT_APPEND_OFFSET] = part.offset
      noteAppended(retention, part.through, part.sizeBytes)
    }
  }
  const order = (): number => {
    if (available(submitted) === 0) return 0
    const work = drain(submitted, EVENTS_MAX, onSubmitted)
    const part = gather.take()
    if (part !== null) append(part)
    for (const { isDead, toWal } of members) if (!isDead) flush(toWal)
    return work
  }
  const hear = (member: LimitMember): number => {
    const onDurable = (words: Float64Array, base: number): number => {
      if (words[base] === cell.DURABLE) member.durableLsn = words[base + 1]!
      return 1
    }
    const onApplied = (words: Float64Array, base: number): number => {
      member.applied = words[base + 1]!
      return 1
    }
    const before = member.durableLsn
    const durable = drain(member.fromWal, EVENTS_MAX, onDurable)
    // Not after every cell: when TRIMMED comes alone, that part may be freed by now.
    if (member.durableLsn > before) member.durable = parts.at(member.durableLsn).through
    const applied = drain(member.fromApply, EVENTS_MAX, onApplied)
    if (applied > 0) member.appliedLsn = parts.lsnOf(member.appliedLsn, member.applied)
    return durable + applied
  }
  const choose = (): void => {
    marks.length = 0
    for (const { durableLsn } of voters) marks.push(durableLsn)
    const through = quorumOf(marks, scratch)
    if (through === chosenLsn) return
    while (chosenLsn < through) {
      chosenLsn += 1
      apply(parts.at(chosenLsn))
    }
    chosen = parts.at(chosenLsn).through
    const base = claim(toIngest)
    toIngest.words[base] = cell.CHOSEN
    toIngest.words[base + 1] = chosen
  }
  const apply = (part: Part): void => {
    for (const { isDead, toApply } of members) {
      if (isDead || toApply === null) continue
      const base = claim(toApply)
      const { words } = toApply
      words[base] = cell.APPLY
      words[base + 1] = part.first
      words[base + cell.AT_SIZE] = part.sizeBytes
      words[base + cell.AT_FRAMES] = part.frames
      words[base + cell.AT_OFFSET] = part.offset
      words[base + 7] = part.through
    }
  }
  const free = (): void => {
    let lsn = chosenLsn
    for (const { isDead, toApply, durableLsn, appliedLsn } of members) {
      if (isDead) continue
      lsn = Math.min(lsn, durableLsn, toApply === null ? durableLsn : appliedLsn)
    }
    const part = parts.dropThrough(lsn)
    if (part === null) return
    release(log, part.end)
    wiring.onRoom()
  }
  const trim = ({ retention, toApply, toWal, applied }: LimitMember): void => {
    const safe = toApply === null ? chosen : Math.min(applied, chosen)
    const through = trimmable(retention, safeThrough(safe))
    if (through === 0) return
    const base = claim(toWal)
    toWal.words[base] = cell.TRIM
    toWal.words[base + 1] = through
  }
  const doWork = (): number => {
    let work = order()
    for (const member of members) if (!member.isDead) work += hear(member)
    if (work === 0) return 0
    choose()
    free()
    for (const member of members) {
      if (member.isDead) continue
      trim(member)
      flush(member.toWal)
      if (member.toApply !== null) flush(member.toApply)
    }
    flush(toIngest)
    return work
  }
  const memberOf = (id: number): LimitMember => members.find((member) => member.id === id)!
  return {
    order,
    doWork,
    get last() {
      return last
    },
    get chosen() {
      return chosen
    },
    drop(id) {
      memberOf(id).isDead = true
      free()
    },
    isSettled(id) {
      const { isDead, toApply, durable, applied } = memberOf(id)
      return isDead || (durable === last && (toApply === null || applied === last))
    },
  }
}
