/** The verdict reads the disks again after a run, those of nodes that died too. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type NodeEnd, verdictOf } from '../../native-free-bench/engines/verdict.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import { openWal } from '../../src/wal/open.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { append, closeWal, flush } from '../../src/wal/wal.ts'
import { temporaryFolder } from '../support/engine.ts'
import { frameOf, pack } from '../support/wal-records.ts'
import { IDENTITY } from '../support/wal-run.ts'

const leader = ballotOf(1, nodeId(1))

/** A node's folder with one frame per given ballot of birth, of one entry each. */
function diskOf(folder: string, id: number, births: readonly number[]): string {
  const dir = join(folder, `n${String(id)}`)
  const identity = { ...IDENTITY, nodeId: nodeId(id) }
  const { wal } = openWal(openStorage(), { dir, identity, segmentSizeBytes: 2 ** 20 })
  for (const [place, birth] of births.entries()) {
    const packed = pack([frameOf(ballotOf(birth, nodeId(1)), place + 1, 1, 16)])
    const [prev, through] = [place as LogIndex, (place + 1) as LogIndex]
    const record = { kind: 'entries', ballot: leader, prev, through } as const
    append(wal, record, (wal.fold.lsn + 1) as Lsn, 0 as LogIndex, packed, packed.frames)
  }
  flush(wal)
  closeWal(wal)
  return dir
}

function judge(disks: readonly (readonly number[])[], dead: number) {
  const folder = temporaryFolder()
  const nodes = disks.map((births, place): NodeEnd => {
    const id = place + 1
    const alive = id !== dead
    const report = { stateHash: 'a', entries: 3, duplicates: 0, gaps: 0, clients: [] }
    const dataDir = diskOf(folder, id, births)
    return { id, role: 'follower', dataDir, report: alive ? report : null, alive }
  })
  const client = { id: 7, acknowledged: 0, acknowledgedFold: 0, submitted: 0, submittedFold: 0 }
  return verdictOf({
    ...{ nodes, clients: [client], entries: 0, chosen: 3, failures: [] },
    ...{ basicPaxos: false, acceptQuorum: null },
  }).violationDetails
}

test('a dead leader may hold a suffix that nobody chose', () => {
  expect(
    judge(
      [
        [1, 1, 1],
        [1, 1, 2],
        [1, 1, 2],
      ],
      1,
    ),
  ).toEqual([])
})

test('its suffix does not count for what the living chose', () => {
  const [detail] = judge(
    [
      [1, 1, 1],
      [1, 1, 2],
      [1, 1],
    ],
    1,
  )
  expect(detail).toBe('index 3 is on 1 disks, not on 2')
})

test('living nodes differ nowhere', () => {
  const [detail] = judge(
    [
      [1, 1, 2],
      [1, 1, 1],
      [1, 1, 2],
    ],
    0,
  )
  expect(detail).toBe("node 2: its log differs from the others' at 3")
})
