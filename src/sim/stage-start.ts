/**
 * What a node on the stages of production starts with: the newest snapshot on its disk, judged
 * against what every other node has made of the same log (I20), or nothing.
 */
import { hasCode } from '../base/errors.ts'
import type { Storage } from '../base/storage.ts'
import type { Member } from '../core/engine.ts'
import { type ApplyCheck, createApplyCheck } from '../stages/apply-check.ts'
import { saveSessions } from '../stages/session-bytes.ts'
import { type SessionTable, createSessionTable } from '../stages/session-table.ts'
import { type Restored, beginRestore } from '../stages/snapshot-restore.ts'
import { EMPTY } from '../stages/snapshot-taker.ts'
import { checksumOf } from '../wal/identity.ts'
import type { Recovered } from '../wal/open.ts'
import { openSnapshot } from '../wal/snapshot-read.ts'
import { type SnapshotStart, chooseSnapshot } from '../wal/snapshot-start.ts'
import { cover } from './coverage.ts'
import { Violation, demand } from './invariants.ts'
import type { Plan } from './plan.ts'
import { CLUSTER_HASH, DIR } from './stage-life.ts'
import type { StageWorld } from './stage-world.ts'
import { createWatchedMachine } from './watched-machine.ts'
import type { World } from './world.ts'

export function startOf(storage: Storage, log: Recovered): SnapshotStart {
  try {
    const start = chooseSnapshot(storage, DIR, CLUSTER_HASH, log)
    demand(start.damaged.length === 0, 'I20', 'what has its name is whole')
    return start
  } catch (error) {
    if (hasCode(error, 'E_DATA_DIR')) throw new Violation('I20', error.message)
    throw error
  }
}

/** A node with state has let go of nothing that its state is to be made of. */
export function checkRetained(
  { ops }: Plan,
  { role }: Member,
  first: number,
  { snapshot }: SnapshotStart,
): void {
  // Who was a Logger for a while has let go of log as one.
  if (role === 'logger' || ops.some(({ kind }) => kind === 'operator')) return
  const from = (snapshot?.index ?? 0) + 1
  demand(first <= from, 'I20', `the log begins at ${first}, and is needed from ${from}`)
}

export function restore<M>(
  world: World<M>,
  stages: StageWorld,
  storage: Storage,
  { snapshot }: SnapshotStart,
) {
  const check = createApplyCheck(true)
  const machine = createWatchedMachine(stages, snapshot?.index ?? 0)
  if (snapshot === null) {
    const restored = { start: EMPTY, sessions: createSessionTable(stages.plan.sessions) }
    return { machine, restored: withCheck(restored, check) }
  }
  const reader = openSnapshot(storage, snapshot.path)
  const restoring = beginRestore(reader, check, stages.plan.sessions)
  void machine.restore(restoring.source) // this one reads all of it before it returns
  restoring.end()
  reader.close()
  compareTables(stages, snapshot.index, restoring.sessions)
  cover(world.coverage, 'restart-from-snapshot')
  return { machine, restored: withCheck(restoring, check) }
}

const withCheck = ({ start, sessions }: Restored, check: ApplyCheck) => ({ start, sessions, check })

export function compareTables({ tables }: StageWorld, index: number, table: SessionTable): void {
  const saved = checksumOf(saveSessions(table))
  const known = tables.get(index)
  if (known === undefined) tables.set(index, saved)
  else demand(known === saved, 'I19', `session tables differ behind ${index}`)
}
