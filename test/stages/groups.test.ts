/**
 * Groups through the stages (R38): ingest publishes them with nothing in between, apply executes
 * them at their end or never. Frames are made by one and executed by the other.
 */
import { expect, test } from 'vitest'
import { ReplicaError } from '../../src/base/errors.ts'
import {
  FRAME_FLAG_CONTINUES,
  FRAME_KIND,
  createFrameHeader,
  readFrameHeader,
} from '../../src/codec/frame.ts'
import { membershipOf } from '../../src/core/membership.ts'
import { release } from '../../src/ring/log-ring.ts'
import { createApplyCheck } from '../../src/stages/apply-check.ts'
import { createApplyStage } from '../../src/stages/apply-stage.ts'
import * as cell from '../../src/stages/cells.ts'
import {
  COMMAND_FRAMES,
  type IngestConfig,
  SESSION_FRAMES,
  createIngest,
} from '../../src/stages/ingest-stage.ts'
import * as about from '../../src/stages/membership-cells.ts'
import { flush } from '../../src/stages/port.ts'
import { COMMAND, commandBytes } from '../../src/stages/session-bytes.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'

const BALLOT = 65_537
const LATER = 2 * 65_536 + 1
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const decoder = new TextDecoder()

interface Made {
  readonly kind: number
  readonly continues: boolean
  readonly first: number
  readonly count: number
  readonly size: number
  readonly offset: number
  readonly end: number
}

/** Frames of at most two entries; the ring holds about 120 of them. */
function openIngest(config: Partial<IngestConfig> = {}) {
  const log = logRing(2 ** 14)
  const events = cellRing()
  const submitted = cellRing(1_024)
  const leads: boolean[] = []
  const onLead = { call: (): void => undefined }
  const ingest = createIngest(
    {
      ...{ batchBytesMax: 4_096, batchEntriesMax: 2, lingerMs: 0 },
      ...{ uncommittedBytesMax: 2 ** 20, indexed: true },
      ...config,
    },
    {
      ...{ log, events, toDecide: port(submitted), nowMs: () => 0 },
      onLead: (value) => {
        leads.push(value)
        if (value) onLead.call()
      },
    },
  )
  const tell = port(events)
  const send = (...values: number[]): void => {
    order(tell, values)
    ingest.doWork()
  }
  const configure = (): void => {
    const member = { id: 1 as never, role: 'voter', weight: 5 } as const
    about.writeMembership(tell, about.CONFIGURE, BALLOT, membershipOf([member]))
    flush(tell)
    ingest.doWork()
  }
  const made = (): Made[] =>
    cellsOf(submitted).map((words) => {
      const header = createFrameHeader()
      const [offset, size] = [words[cell.AT_OFFSET]!, words[cell.AT_SIZE]!]
      expect(readFrameHeader(log.bytes, log.view, offset, offset + size, header)).toBe('ok')
      const continues = (header.flags & FRAME_FLAG_CONTINUES) !== 0
      expect(words[cell.AT_FRAME_CONTINUES]).toBe(continues ? 1 : 0)
      const { kind, first, count } = header
      return { kind, continues, first, count, size, offset, end: words[8]! }
    })
  return { ingest, log, send, configure, made, onLead }
}

const shapes = (frames: readonly Made[]): string =>
  frames
    .map(({ kind, count, continues }) => {
      const name = Object.entries(FRAME_KIND).find(([, code]) => code === kind)![0]
      return `${name === 'entries' ? String(count) : name}${continues ? '+' : ''}`
    })
    .join(' ')

const five = ['a', 'b', 'c', 'd', 'e'].map(text)

// ---- Ingest ------------------------------------------------------------------------------------

test('a group is frames that continue up to its last one, apart from what is around it', () => {
  const { ingest, send, made } = openIngest()
  send(cell.LEAD, BALLOT, 1)
  const client = ingest.openClient(9, () => undefined)
  ingest.tryWrite(client, text('x'))
  expect(ingest.tryWriteGroup(client, five, null)).toBe(true)
  ingest.tryWrite(client, text('y'))
  ingest.seal()
  const frames = made()
  expect(shapes(frames)).toBe('1 2+ 2+ 1 1')
  expect(frames.map(({ first }) => first)).toEqual([1, 2, 4, 6, 7])
  expect([client.submitted, client.publishedThrough]).toEqual([7, 7])
})

test('what fits in one frame is a group by itself', () => {
  const { ingest, send, made } = openIngest({ batchEntriesMax: 10 })
  send(cell.LEAD, BALLOT, 1)
  ingest.tryWriteGroup(
    ingest.openClient(9, () => undefined),
    five,
    null,
  )
  expect(shapes(made())).toBe('5')
})

test('a group without room goes on when there is some; until then nothing else is taken', () => {
  const { ingest, log, send, made, configure } = openIngest()
  send(cell.LEAD, BALLOT, 1)
  const woken: string[] = []
  const [client, other] = [9, 10].map((id) => ingest.openClient(id, () => woken.push(String(id))))
  const bytes = Array.from({ length: 12 }, (_, i) => new Uint8Array(1_500).fill(i))
  expect(ingest.tryWriteGroup(client!, bytes, null)).toBe(true)
  const before = made()
  expect(before.length).toBeLessThan(6)
  for (const one of bytes) one.fill(255) // the caller may use its memory again
  configure()
  expect([ingest.tryWrite(other!, text('y')), ingest.hasRoom()]).toEqual([false, false])
  expect(ingest.tryWriteGroup(other!, five, null)).toBe(false)
  const after: Made[] = []
  for (let i = 0; i < 6; i++) {
    release(log, (after.at(-1) ?? before.at(-1)!).end)
    ingest.doWork()
    after.push(...made())
  }
  expect(shapes([...before, ...after])).toBe('2+ 2+ 2+ 2+ 2+ 2 config empty')
  const last = after.findLast(({ kind }) => kind === FRAME_KIND.entries)!
  expect(log.bytes[last.offset + 64 + 4]).toBe(10)
  expect(woken).toContain('10')
  expect(ingest.tryWrite(other!, text('y'))).toBe(true)
})

test('a group under way is finished although leadership is about to be handed over', () => {
  const { ingest, log, send, made } = openIngest()
  send(cell.LEAD, BALLOT, 1)
  const client = ingest.openClient(9, () => undefined)
  const bytes = Array.from({ length: 12 }, () => new Uint8Array(1_500))
  ingest.tryWriteGroup(client, bytes, null)
  const frames = made()
  send(cell.ADMIT, 0)
  expect(ingest.tryWriteGroup(client, five, null)).toBe(false)
  for (let i = 0; i < 6; i++) {
    release(log, frames.at(-1)!.end)
    ingest.doWork()
    frames.push(...made())
  }
  expect(shapes(frames)).toBe('2+ 2+ 2+ 2+ 2+ 2')
})

test('leadership lost within a group: the rest of it never leaves', () => {
  const { ingest, log, send, made } = openIngest()
  send(cell.LEAD, BALLOT, 1)
  const client = ingest.openClient(9, () => undefined)
  const bytes = Array.from({ length: 12 }, () => new Uint8Array(1_500))
  ingest.tryWriteGroup(client, bytes, null)
  const frames = made()
  send(cell.UNLEAD, 2)
  release(log, frames.at(-1)!.end)
  send(cell.LEAD, LATER, 100, 1)
  expect(shapes(made())).toBe('abort')
  expect(client.failure).toBeInstanceOf(ReplicaError)
  expect(client.publishedThrough).toBe(2 * frames.length)
})

test('a leader whose log ends within a group puts the abort before anything else', () => {
  const { ingest, send, made, onLead } = openIngest()
  const client = ingest.openClient(9, () => undefined)
  onLead.call = () => void ingest.tryWrite(client, text('eager'))
  send(cell.LEAD, BALLOT, 8, 1)
  ingest.seal()
  const frames = made()
  expect(shapes(frames)).toBe('abort 1')
  expect(frames.map(({ first }) => first)).toEqual([8, 9])
})

test('an abort that finds no room is waited for', () => {
  const { ingest, log, send, made, configure } = openIngest()
  send(cell.LEAD, BALLOT, 1)
  const full: Made[] = []
  for (let before = -1; before !== full.length;) {
    before = full.length
    configure()
    full.push(...made())
  }
  send(cell.UNLEAD, 2)
  send(cell.LEAD, LATER, 500, 1)
  const client = ingest.openClient(10, () => undefined)
  expect([ingest.tryWrite(client, text('y')), ingest.hasRoom()]).toEqual([false, false])
  expect(ingest.tryWriteGroup(client, five, null)).toBe(true)
  expect(made()).toEqual([])
  release(log, full.at(-1)!.end)
  ingest.doWork()
  expect(shapes(made())).toBe('abort 2+ 2+ 1')
})

// ---- Apply -------------------------------------------------------------------------------------

function openBoth(config: Partial<IngestConfig> = {}) {
  const parts = openIngest(config)
  const { log, made } = parts
  const orders = cellRing(1_024)
  const [events, replies] = [cellRing(1_024), cellRing(1_024)]
  const seen: string[] = []
  const check = createApplyCheck(true)
  const none = (): Promise<void> => Promise.resolve()
  const statuses: number[] = []
  const stage = createApplyStage({
    stateMachine: {
      apply(batch) {
        for (let i = 0; batch.next(); i++) {
          const { offset, size, bytes } = batch
          const entry = decoder.decode(bytes.slice(offset, offset + size))
          seen.push(`${String(batch.first + i)}:${entry}`)
          batch.reply(i, text(entry))
        }
      },
      ...{ query: (question) => question, snapshot: none, restore: none },
    },
    check,
    isOwnClient: () => true,
    desk: null,
    logRings: [log],
    orders,
    toDecide: port(events),
    toClient: { port: port(replies), bytes: logRing(2 ** 20) },
    onApplied: (through) => void statuses.push(through),
  })
  const toOrders = port(orders)
  /** Executes frames one by one; [taken, applied] after each. */
  const apply = (frames: readonly Made[] = made()): number[][] => {
    for (const { first, count, size, offset } of frames) {
      order(toOrders, [cell.APPLY, first, size, 1, 0, offset, 0, first + count - 1])
    }
    while (stage.doWork() > 0) continue
    return cellsOf(events).map((words) => [words[1]!, words[2]!])
  }
  /** Clients and sequences that are answered. */
  const answered = () => cellsOf(replies).map((words) => [words[1], words[6]])
  return { ...parts, stage, apply, seen, check, answered, statuses }
}

test('nothing of a group is executed before its end, and then all of it, in order', () => {
  const { ingest, log, send, made, apply, seen, answered, statuses } = openBoth()
  send(cell.LEAD, BALLOT, 1)
  const client = ingest.openClient(9, () => undefined)
  ingest.tryWrite(client, text('x'))
  ingest.tryWriteGroup(client, five, null)
  const frames = made()
  expect(apply(frames.slice(0, 3))).toEqual([
    [1, 1],
    [3, 1],
    [5, 1],
  ])
  expect([seen, answered(), statuses]).toEqual([['1:x'], [[9, 1]], [1, 1, 1]])
  const { offset, size } = frames[2]!
  log.bytes.fill(255, offset, offset + size) // its ring space is free: it was taken
  expect(apply(frames.slice(3))).toEqual([[6, 6]])
  expect(seen).toEqual(['1:x', '2:a', '3:b', '4:c', '5:d', '6:e'])
  expect([answered(), statuses.at(-1)]).toEqual([
    [
      [9, 3],
      [9, 5],
      [9, 6],
    ],
    6,
  ])
})

test('an aborted group has no effect at all, and is not counted', () => {
  const { ingest, send, made, apply, seen, check, answered } = openBoth()
  send(cell.LEAD, BALLOT, 1)
  ingest.tryWriteGroup(
    ingest.openClient(9, () => undefined),
    five,
    null,
  )
  const open = made().slice(0, 2)
  apply(open)
  send(cell.UNLEAD, 2)
  send(cell.LEAD, LATER, 5, 1)
  const next = ingest.openClient(10, () => undefined)
  ingest.tryWrite(next, text('y'))
  ingest.seal()
  expect(apply()).toEqual([
    [5, 5],
    [6, 6],
  ])
  expect([seen, answered()]).toEqual([['6:y'], [[10, 1]]])
  const { entries, duplicates, gaps } = check
  expect({ entries, duplicates, gaps }).toEqual({ entries: 1, duplicates: 0, gaps: 0 })
})

test('a group of a session that was aborted applies once when it is proposed again', () => {
  const { ingest, send, made, apply, seen } = openBoth()
  send(cell.LEAD, BALLOT, 1)
  const commands = ingest.openClient(8, () => undefined, COMMAND_FRAMES)
  const mark = { session: 0, sequence: 0 }
  ingest.tryWriteMarked(commands, mark, commandBytes(COMMAND.open))
  ingest.seal()
  apply()
  const first = ingest.openClient(9, () => undefined, SESSION_FRAMES)
  ingest.tryWriteGroup(first, five, { session: 1, sequence: 1 })
  const [one, two] = made()
  apply([one!, two!])
  send(cell.UNLEAD, 2)
  send(cell.LEAD, LATER, 6, 1)
  const again = ingest.openClient(10, () => undefined, SESSION_FRAMES)
  for (let i = 0; i < 2; i++) ingest.tryWriteGroup(again, five, { session: 1, sequence: 1 })
  apply()
  expect(seen).toEqual(['7:a', '8:b', '9:c', '10:d', '11:e'])
})

test('whatever slides into a group stops the node', () => {
  const { ingest, send, made, apply } = openBoth()
  send(cell.LEAD, BALLOT, 1)
  const [client, other] = [9, 10].map((id) => ingest.openClient(id, () => undefined))
  ingest.tryWriteGroup(client!, five, null)
  ingest.tryWrite(other!, text('y'))
  ingest.seal()
  const frames = made()
  const slid = { ...frames[3]!, first: 3 }
  expect(() => apply([frames[0]!, slid])).toThrow('nothing comes between the frames of a group')
})

test('an abort without an open group stops the node', () => {
  const { send, apply } = openBoth()
  send(cell.LEAD, BALLOT, 1, 1)
  expect(() => apply()).toThrow('an abort ends an open group')
})
