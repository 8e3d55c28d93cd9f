import { expect, test } from 'vitest'
import { encodeMembership } from '../../src/codec/membership.ts'
import { FRAME_KIND, createFrameHeader, readFrameHeader } from '../../src/codec/frame.ts'
import type { Member } from '../../src/core/engine.ts'
import type { NodeId } from '../../src/core/ids.ts'
import { type Change, MEMBERS_MAX, membershipOf } from '../../src/core/membership.ts'
import { CELL_WORDS } from '../../src/ring/cell-ring.ts'
import { release } from '../../src/ring/log-ring.ts'
import * as cell from '../../src/stages/cells.ts'
import { membershipAt } from '../../src/stages/config-frame.ts'
import * as holds from '../../src/stages/holds.ts'
import { createIngest } from '../../src/stages/ingest-stage.ts'
import * as about from '../../src/stages/membership-cells.ts'
import { drain, flush } from '../../src/stages/port.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'

const BALLOT = 65_537
const voters = (count: number): Member[] =>
  Array.from({ length: count }, (_, i) => ({ id: (i + 1) as NodeId, role: 'voter', weight: 5 }))

test.each([1, 3, MEMBERS_MAX])('a membership of %i goes through a ring of cells', (count) => {
  const cells = cellRing()
  const out = port(cells)
  const membership = membershipOf(voters(count))
  about.writeMembership(out, about.MEMBERSHIP, 17, membership)
  flush(out)
  const seen: unknown[] = []
  drain(cells, 100, (words, base, place) => {
    seen.push([words[base], words[base + 1], about.readMembership(cells, place)])
    return about.groupCellsOf(words, base)
  })
  expect(seen).toEqual([[about.MEMBERSHIP, 17, encodeMembership(membership)]])
})

const id = 4 as NodeId
const CHANGES: readonly Change[] = [
  { kind: 'add', id },
  { kind: 'add', id, promote: 'logger', weight: 0, source: 2 as NodeId },
  { kind: 'remove', id },
  { kind: 'role', id, role: 'learner' },
  { kind: 'set', id },
  { kind: 'set', id, weight: 9, forced: 'none', source: 0 },
  { kind: 'set', id, forced: 'armed' },
  { kind: 'quorums', prepare: 4, accept: 2 },
]
test.each(CHANGES)('a change fits a cell: %o', (change) => {
  const words = new Float64Array(2 * CELL_WORDS).fill(7)
  about.writeChange(words, CELL_WORDS, 3, change)
  expect([words[CELL_WORDS], words[CELL_WORDS + 1]]).toEqual([about.CHANGE, 3])
  expect(about.readChange(words, CELL_WORDS)).toEqual(change)
})

function openIngest(ringSizeBytes = 2 ** 16) {
  const log = logRing(ringSizeBytes)
  const events = cellRing()
  const submitted = cellRing()
  const ingest = createIngest(
    {
      ...{ batchBytesMax: 4_096, batchEntriesMax: 1_000, lingerMs: 1_000 },
      ...{ uncommittedBytesMax: 2 ** 20, indexed: true },
    },
    { log, events, toDecide: port(submitted), nowMs: () => 0, onLead: () => undefined },
  )
  const tell = port(events)
  const configure = (ballot: number, count: number): void => {
    const membership = count === 0 ? null : membershipOf(voters(count))
    about.writeMembership(tell, about.CONFIGURE, ballot, membership)
    flush(tell)
    ingest.doWork()
  }
  const send = (...values: number[]): void => {
    order(tell, values)
    ingest.doWork()
  }
  const progress = { count: 0 }
  const client = ingest.openClient(9, () => void (progress.count += 1))
  const frames = () => cellsOf(submitted)
  return { ingest, log, client, configure, send, frames, progress }
}
const payload = new Uint8Array(100)

test('ingest seals what is open, then puts the config frame and an empty one behind it', () => {
  const { ingest, log, client, configure, send, frames } = openIngest()
  send(cell.LEAD, BALLOT, 5)
  ingest.tryWrite(client, payload)
  ingest.tryWrite(client, payload)
  configure(BALLOT, 3)
  ingest.tryWrite(client, payload)
  ingest.seal()
  const made = frames()
  expect(made.map((words) => [words[1], words[3], words[cell.AT_FRAME_KIND]])).toEqual([
    [5, 2, FRAME_KIND.entries],
    [7, 1, FRAME_KIND.config],
    [8, 1, FRAME_KIND.empty],
    [9, 1, FRAME_KIND.entries],
  ])
  for (const [, first, size, , , offset] of made) {
    const header = createFrameHeader()
    expect(readFrameHeader(log.bytes, log.view, offset!, offset! + size!, header)).toBe('ok')
    expect(header).toMatchObject({ first, ballot: BALLOT })
  }
  const config = made[1]!
  expect(membershipAt(log, config[5]!, config[2]!)).toEqual(membershipOf(voters(3)))
  const state = holds.createHolds([log])
  const taken = made.map((words) => holds.takeFrameCell(state, Float64Array.from(words), 0))
  expect(taken.map(({ config: found }) => found?.members.length)).toEqual([
    undefined,
    3,
    undefined,
    undefined,
  ])
})

test('no membership asks for the empty frame alone; that of an old ballot for nothing', () => {
  const { configure, send, frames } = openIngest()
  send(cell.LEAD, BALLOT, 5)
  configure(BALLOT - 1, 3)
  configure(BALLOT, 0)
  expect(frames().map((words) => words[cell.AT_FRAME_KIND])).toEqual([FRAME_KIND.empty])
})

test('a config frame waits for room in the ring, and goes before anything later', () => {
  const { ingest, log, client, configure, send, frames } = openIngest(2 ** 14)
  send(cell.LEAD, BALLOT, 1)
  while (ingest.tryWrite(client, payload));
  const before = frames()
  configure(BALLOT, MEMBERS_MAX)
  configure(BALLOT, MEMBERS_MAX)
  const soon = frames()
  release(log, (soon.at(-1) ?? before.at(-1)!)[8]!)
  ingest.doWork()
  const kinds = [...soon, ...frames()].map((words) => words[cell.AT_FRAME_KIND])
  const { config, empty } = FRAME_KIND
  expect(kinds).toEqual([config, empty, config, empty])
})

test('while leadership is handed over nothing is taken; afterwards who waits is woken', () => {
  const { ingest, client, send, frames, progress } = openIngest()
  send(cell.LEAD, BALLOT, 1)
  ingest.tryWrite(client, payload)
  send(cell.ADMIT, 0)
  expect(frames()).toHaveLength(1) // what was taken before is tried
  expect([ingest.tryWrite(client, payload), ingest.admits, ingest.hasRoom()]).toEqual([
    false,
    false,
    false,
  ])
  expect([client.failure, progress.count]).toEqual([null, 0])
  send(cell.ADMIT, 1)
  expect([ingest.admits, progress.count]).toEqual([true, 1])
  expect(ingest.tryWrite(client, payload)).toBe(true)
  send(cell.ADMIT, 0)
  send(cell.LEAD, 2 * BALLOT, 9)
  expect(ingest.tryWrite(client, payload)).toBe(true)
})
