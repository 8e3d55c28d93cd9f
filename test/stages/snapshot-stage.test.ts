/** The snapshot stage and its disk: what is left of a snapshot that fails, or is not wanted. */
import { expect, test } from 'vitest'
import type { Storage, StorageFile } from '../../src/base/storage.ts'
import { openCellRing, cellRingMemory } from '../../src/ring/cell-ring.ts'
import { logRingMemory, openLogRing, publish, tryClaim } from '../../src/ring/log-ring.ts'
import { createMemoryStorage, diskError } from '../../src/sim/memory-storage.ts'
import { type OutPort, flush, orderCell, outPort } from '../../src/stages/port.ts'
import { SNAP_BEGIN, SNAP_END, SNAP_KEEP, SNAP_PIECE } from '../../src/stages/snapshot-cells.ts'
import { createSnapshotStage } from '../../src/stages/snapshot-stage.ts'
import { SECTION } from '../../src/wal/snapshot-file.ts'

const DIR = '/node'

function lab() {
  const inner = createMemoryStorage()
  inner.makeDir(DIR)
  const open = new Set<StorageFile>()
  const storage: Storage = {
    ...inner,
    create(path) {
      const file = inner.create(path)
      open.add(file)
      return file
    },
    close(file) {
      open.delete(file)
      inner.close(file)
    },
  }
  const port = (): OutPort => outPort(openCellRing(cellRingMemory(64)), null)
  const [orders, keeps] = [port(), port()]
  const memory = logRingMemory(2 ** 16)
  const pieces = openLogRing(memory)
  const [kept, failed]: [number[], number[]] = [[], []]
  const stage = createSnapshotStage({
    ...{ storage, dir: DIR, clusterHash: 1, historyEpoch: 0, compresses: false },
    ...{ orders: orders.cells, keeps: keeps.cells, toDecide: port() },
    pieces: openLogRing(memory),
    onKept: (index) => void kept.push(index),
    onFailed: (index) => void failed.push(index),
  })
  const give = (...cells: number[][]): void => {
    for (const cell of cells) orderCell(cell[0] === SNAP_KEEP ? keeps : orders, cell)
    flush(orders)
    flush(keeps)
    while (stage.doWork() > 0);
  }
  const piece = (): number[] => {
    const offset = tryClaim(pieces, 4_096)
    return [SNAP_PIECE, SECTION.state, 4_096, publish(pieces, 4_096), offset]
  }
  const names = (): string[] => inner.list(DIR)!
  return { inner, stage, give, piece, open, kept, failed, names }
}

test('three are made: the newest two stay', () => {
  const { give, piece, kept, names, open } = lab()
  for (const index of [10, 20, 30]) {
    give([SNAP_BEGIN, index, 0], piece(), [SNAP_END])
    give([SNAP_KEEP, index])
  }
  expect(kept).toEqual([10, 20, 30])
  expect(names().sort()).toEqual(
    [20, 30].map((one) => `snapshot-${one.toString(16).padStart(16, '0')}.snap`),
  )
  expect(open.size).toBe(0)
})

test.each(['create', 'write', 'datasync', 'rename', 'syncDir'] as const)(
  'a %s that fails costs the snapshot, no file and no descriptor; the next one is kept',
  (operation) => {
    const { inner, give, piece, kept, failed, names, open } = lab()
    inner.onOperation = (one) => {
      if (one === operation) throw diskError(operation, 'ENOSPC')
    }
    give([SNAP_BEGIN, 10, 0], piece(), piece(), [SNAP_END])
    give([SNAP_KEEP, 10])
    expect(failed).toEqual([10])
    expect(kept).toEqual([])
    expect(open.size).toBe(0)
    expect(names().filter((name) => name.endsWith('.tmp'))).toEqual([])
    inner.onOperation = null
    give([SNAP_BEGIN, 20, 0], piece(), [SNAP_END])
    give([SNAP_KEEP, 20])
    expect(kept).toEqual([20])
    expect(names()).toContain('snapshot-0000000000000014.snap')
  },
)

test.each(['close', 'kill'] as const)('%s leaves no descriptor behind', (end) => {
  const { stage, give, piece, open, names } = lab()
  give([SNAP_BEGIN, 10, 0], piece(), [SNAP_END], [SNAP_BEGIN, 20, 0], piece())
  expect(open.size).toBe(1)
  stage[end]!()
  expect(open.size).toBe(0)
  expect(names()).toHaveLength(end === 'close' ? 0 : 2) // as the end of a process leaves them
})
