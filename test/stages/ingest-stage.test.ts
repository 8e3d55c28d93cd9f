import { expect, test } from 'vitest'
import { ReplicaError } from '../../src/base/errors.ts'
import { FRAME_FLAG_SESSIONS, createFrameHeader, readFrameHeader } from '../../src/codec/frame.ts'
import { release } from '../../src/ring/log-ring.ts'
import * as cell from '../../src/stages/cells.ts'
import { type IngestConfig, SESSION_FRAMES, createIngest } from '../../src/stages/ingest-stage.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'

const BALLOT = 65_537

function open(config: Partial<IngestConfig> = {}) {
  const log = logRing(2 ** 16)
  const events = cellRing()
  const submitted = cellRing()
  const leads: boolean[] = []
  const clock = { ms: 0 }
  const ingest = createIngest(
    {
      ...{ batchBytesMax: 4_096, batchEntriesMax: 1_000, lingerMs: 0 },
      ...{ uncommittedBytesMax: 16_384, indexed: true },
      ...config,
    },
    {
      ...{ log, events, toDecide: port(submitted), nowMs: () => clock.ms },
      onLead: (value) => void leads.push(value),
    },
  )
  const tell = port(events)
  const send = (...values: number[]): void => {
    order(tell, values)
    ingest.doWork()
  }
  const frames = () =>
    cellsOf(submitted).map(([, first, size, count, , offset, ballot, , end]) => {
      const header = createFrameHeader()
      readFrameHeader(log.bytes, log.view, offset!, offset! + size!, header)
      return { first, count, ballot, size, end: end!, header }
    })
  const progress = { count: 0 }
  const client = ingest.openClient(9, () => void (progress.count += 1))
  return { ingest, log, clock, leads, send, frames, client, progress }
}
const payload = new Uint8Array(100)

test('nothing is taken without leadership', () => {
  const { ingest, client, send, leads } = open()
  expect(ingest.tryWrite(client, payload)).toBe(false)
  send(cell.LEAD, BALLOT, 5)
  expect([ingest.tryWrite(client, payload), leads]).toEqual([true, [true]])
})

test('a sealed frame carries ballot, index, sequence and count; the next one follows', () => {
  const { ingest, client, send, frames } = open()
  send(cell.LEAD, BALLOT, 5)
  for (let i = 0; i < 3; i++) ingest.tryWrite(client, payload)
  ingest.doWork()
  ingest.tryWrite(client, payload)
  ingest.seal()
  const [one, two] = frames()
  expect(one).toMatchObject({ first: 5, count: 3, ballot: BALLOT })
  expect(one!.header).toMatchObject({ first: 5, count: 3, clientId: 9, clientSequence: 1 })
  expect(two!.header).toMatchObject({ first: 8, count: 1, clientSequence: 4 })
})

test('linger keeps a frame open until its time, a full one leaves at once', () => {
  const { ingest, client, send, frames, clock } = open({ lingerMs: 2, batchEntriesMax: 2 })
  send(cell.LEAD, BALLOT, 1)
  for (let i = 0; i < 3; i++) ingest.tryWrite(client, payload)
  ingest.doWork()
  expect(frames().map(({ count }) => count)).toEqual([2])
  clock.ms = 2
  ingest.doWork()
  expect(frames().map(({ count }) => count)).toEqual([1])
})

test.each([
  ['much that is written in one turn leaves in pieces, while less than two are under way', 0],
  ['pieces wait for company where a linger asks for it', 5],
])('%s', (_name, lingerMs) => {
  const { ingest, client, send, frames } = open({ lingerMs, batchEntriesMax: 10_000 })
  send(cell.LEAD, BALLOT, 1)
  const write = (count: number): number[] => {
    for (let i = 0; i < count; i++) expect(ingest.tryWrite(client, new Uint8Array(0))).toBe(true)
    return frames().map((frame) => frame.count!)
  }
  expect(write(255)).toEqual([])
  if (lingerMs > 0) return expect(write(600)).toEqual([])
  expect(write(600)).toEqual([256, 256])
  ingest.doWork()
  expect(frames().map(({ count }) => count)).toEqual([343])
  send(cell.CHOSEN, 255)
  expect(write(300)).toEqual([])
  send(cell.CHOSEN, 512)
  expect(frames().map(({ count }) => count)).toEqual([300])
  expect(write(256)).toEqual([])
  send(cell.CHOSEN, 855)
  expect(write(256)).toEqual([256])
})

test('a frame belongs to one client, and ends at the byte bound', () => {
  const { ingest, client, send, frames } = open()
  send(cell.LEAD, BALLOT, 1)
  const other = ingest.openClient(10, () => undefined)
  for (let i = 0; i < 50; i++) ingest.tryWrite(client, payload)
  ingest.tryWrite(other, payload)
  ingest.seal()
  const made = frames()
  expect(made.map(({ header }) => header.clientId)).toEqual([9, 9, 10])
  for (const { size } of made) expect(size).toBeLessThanOrEqual(4_096)
})

test('bytes that are published and not chosen are bounded; chosen ones make room and tell', () => {
  const { ingest, client, send, progress } = open()
  send(cell.LEAD, BALLOT, 1)
  let taken = 0
  while (ingest.tryWrite(client, payload)) taken += 1
  expect(taken * 104).toBeGreaterThan(12_000)
  expect(taken * 104).toBeLessThan(16_384 + 4_096)
  expect([ingest.hasRoom(), progress.count]).toEqual([false, 0])
  const settled: number[][] = []
  client.onSettled = (through, index) => void settled.push([through, index])
  send(cell.CHOSEN, 40)
  expect(settled).toEqual([[38, 38]])
  expect([client.chosen, client.chosenIndex, progress.count]).toEqual([38, 38, 1])
  expect(ingest.tryWrite(client, payload)).toBe(true)
})

test('who was told that there is no room is woken, though nothing of it was refused', () => {
  const { ingest, log, client, send, frames } = open({ uncommittedBytesMax: 2 ** 20 })
  send(cell.LEAD, BALLOT, 1)
  const woken = { count: 0 }
  ingest.openClient(10, () => void (woken.count += 1))
  for (; ingest.hasRoom(); ingest.seal()) expect(ingest.tryWrite(client, payload)).toBe(true)
  woken.count = 0
  ingest.doWork()
  expect(woken.count).toBe(0)
  release(log, frames().at(-1)!.end)
  ingest.doWork()
  expect(woken.count).toBe(1)
})

test('a ring that is full refuses, and wakes the client when bytes are released', () => {
  const { ingest, log, client, send, frames, progress } = open({ uncommittedBytesMax: 2 ** 20 })
  send(cell.LEAD, BALLOT, 1)
  let taken = 0
  while (ingest.tryWrite(client, payload)) taken += 1
  send(cell.CHOSEN, taken) // all chosen, and the bytes are still held by a slow reader
  progress.count = 0
  ingest.doWork()
  expect([ingest.tryWrite(client, payload), progress.count]).toEqual([false, 0])
  release(log, frames().at(-1)!.end)
  ingest.doWork()
  expect(progress.count).toBe(1)
  expect(ingest.tryWrite(client, payload)).toBe(true)
})

test('with the loss of leadership published entries are unknown, others not proposed', () => {
  const { ingest, client, send, leads, frames } = open()
  send(cell.LEAD, BALLOT, 1)
  const idle = ingest.openClient(10, () => undefined)
  const unsent = ingest.openClient(11, () => undefined)
  ingest.tryWrite(client, payload)
  ingest.seal()
  ingest.tryWrite(unsent, payload)
  send(cell.UNLEAD, 3)
  expect([client, idle, unsent].map(({ failure }) => failure?.outcome)).toEqual([
    'unknown',
    'not-proposed',
    'not-proposed',
  ])
  expect([client.failure?.code, ingest.leader, leads]).toEqual([
    'E_LEADERSHIP_LOST',
    3,
    [true, false],
  ])
  expect(ingest.tryWrite(client, payload)).toBe(false)
  expect(frames()).toHaveLength(1)
  send(cell.LEAD, 2 * BALLOT, 7)
  const next = ingest.openClient(12, () => undefined)
  ingest.tryWrite(next, payload)
  ingest.seal()
  expect(frames()[0]).toMatchObject({ first: 7, ballot: 2 * BALLOT })
})

test('a node that is down leads no more, whatever comes late', () => {
  const { ingest, client, send } = open()
  send(cell.LEAD, BALLOT, 1)
  ingest.failAll(new ReplicaError('E_CLOSED', 'closed', { what: 'node' }))
  send(cell.LEAD, 2 * BALLOT, 1)
  expect([ingest.leads, client.failure?.code]).toEqual([false, 'E_CLOSED'])
})

test('entries with marks leave room for them: a frame ends at the byte bound', () => {
  const { ingest, send, frames } = open()
  send(cell.LEAD, BALLOT, 1)
  const marked = ingest.openClient(10, () => undefined, SESSION_FRAMES)
  for (let sequence = 1; sequence <= 150; sequence++) {
    ingest.tryWriteMarked(marked, { session: 3, sequence }, new Uint8Array(20))
  }
  ingest.seal()
  const made = frames()
  expect(made.map(({ header }) => [header.count, header.clientSequence])).toEqual([
    [100, 1],
    [50, 101],
  ])
  for (const { size, header } of made) {
    expect(size).toBeLessThanOrEqual(4_096)
    expect(header.flags).toBe(FRAME_FLAG_SESSIONS)
  }
})

test('room is reserved for whole entries in one frame', () => {
  const { ingest, log, client, send, frames } = open()
  send(cell.LEAD, BALLOT, 1)
  const at = ingest.tryReserve(client, 3, 5)
  expect(at).toBe(64)
  for (let i = 0; i < 3; i++) {
    log.view.setUint32(at + i * 12, 5, true)
    log.bytes.fill(0, at + i * 12 + 4, at + i * 12 + 12)
  }
  ingest.seal()
  expect([client.submitted, frames()[0]!.count]).toEqual([3, 3])
  expect(ingest.tryReserve(open().client, 1, 5)).toBeGreaterThanOrEqual(0)
})
