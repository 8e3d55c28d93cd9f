import { expect, test } from 'vitest'
import { createDelay } from '../../src/net/delay.ts'
import { deliver, deliverControl, inboxMemory, openInbox } from '../../src/net/inbox.ts'
import { LINK_DOWN, LINK_UP } from '../../src/net/link.ts'
import type { Delay } from '../../src/net/delay.ts'
import * as cell from '../../src/stages/cells.ts'
import { createReceiveStage } from '../../src/stages/receive-stage.ts'
import { cellRing, cellsOf, logRing, port, putFrame } from '../support/engine-cells.ts'

const PEER = 3
const KIND = 9

interface Given {
  readonly delay?: Delay
  readonly capacityCells?: number
  readonly checksBodies?: boolean
  readonly history?: number
}

function open({ delay, capacityCells = 64, checksBodies = true, history = 0 }: Given = {}) {
  const inbox = openInbox(inboxMemory(64, 2 ** 18))
  const out = cellRing(capacityCells)
  const clock = { ms: 0 }
  const invalid = { count: 0 }
  const foreign = { count: 0 }
  const link = {
    ...{ peer: PEER, cells: inbox.cells, log: inbox.log, ring: 2, delay: delay ?? null },
    ...{ checksBodies, history, onForeign: () => void (foreign.count += 1) },
    onInvalid: () => void (invalid.count += 1),
    onPayload: () => undefined,
  }
  const stage = createReceiveStage([link], port(out), () => clock.ms)
  /** A message of `count` frames; `spoil` is the byte of the payload that is turned over. */
  const put = (count: number, field: number, spoil = -1): void => {
    const source = logRing()
    const frames = Array.from({ length: count }, (_, i) => {
      const text = `frame ${field} ${i}`
      return putFrame(source, [text], { first: i + 1, clientSequence: i + 1 })
    })
    const sizeBytes = frames.reduce((sum, { frame }) => sum + frame.sizeBytes, 0)
    const payload = source.bytes.slice(0, sizeBytes)
    if (spoil >= 0) payload[spoil]! ^= 1
    const words = new Float64Array(16)
    words.set([KIND, 77, sizeBytes, count, 0, 0, 0, field])
    expect(deliver(inbox, words, 0, sizeBytes === 0 ? null : payload, clock.ms)).toBe(true)
  }
  const work = (): number[][] => {
    stage.doWork()
    return cellsOf(out)
  }
  return { inbox, clock, invalid, foreign, stage, put, work, out }
}

test('a message comes with one cell a frame, which lies where the cell says', () => {
  const { inbox, put, work } = open()
  put(2, 5)
  const [message, one, two, ...rest] = work()
  expect([message![0], message![1], message![3], message![7]]).toEqual([KIND, PEER, 2, 5])
  expect([one![0], one![1], two![1], one![4]]).toEqual([cell.FRAME, 1, 2, 2])
  expect(rest).toEqual([])
  expect(two![8]).toBe(inbox.log.published)
  expect(one![8]).toBe(inbox.log.published - two![2]! / 64)
  expect(inbox.log.view.getUint16(two![5]!, true)).toBe(0x5058)
})

test.each([0, 20, 70, 127, 130, 200])(
  'a message with byte %i of its frames turned over is dropped whole, its neighbours pass',
  (spoil) => {
    const { put, work, invalid } = open()
    put(1, 1)
    put(2, 2, spoil)
    put(1, 3)
    const cells = work()
    const fields = cells.filter(([kind]) => kind === KIND)
    expect(fields.map((words) => words[7])).toEqual([1, 3])
    expect(cells.filter(([kind]) => kind === cell.DROPPED)).toHaveLength(1)
    expect(invalid.count).toBe(1)
  },
)

test('within a process headers are checked, bodies when they are applied', () => {
  const { put, work, invalid } = open({ checksBodies: false })
  put(1, 5, 70) // in the body
  expect(work()).toHaveLength(2)
  put(1, 6, 20) // in the header
  expect(work().map(([kind]) => kind)).toEqual([cell.DROPPED])
  expect(invalid.count).toBe(1)
})

test('messages of an emulated link keep their order and come when they are due', () => {
  const delay = createDelay({ rttMs: 20, jitterMs: 8, bandwidthMbps: 0, seed: 4 })
  const { put, work, clock } = open({ delay })
  for (let i = 0; i < 10; i++) put(i % 2, i)
  expect(work()).toEqual([])
  const seen: number[] = []
  for (clock.ms = 1; seen.length < 10 && clock.ms < 1_000; clock.ms++) {
    for (const words of work()) if (words[0] === KIND) seen.push(words[7]!)
  }
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(clock.ms).toBeGreaterThan(10)
})

const controlOf = (kind: number, history: number) => ({
  ...{ kind, peer: 8, session: 1, incarnation: 0, nonce: 0, history },
})

test('of a session with a node of another history nothing passes, until one of its own', () => {
  const { put, work, inbox, foreign } = open({ history: 65_538 })
  deliverControl(inbox, controlOf(LINK_UP, 0), 0)
  put(0, 1)
  deliverControl(inbox, controlOf(LINK_DOWN, 0), 0)
  expect([work(), foreign.count]).toEqual([[], 1])
  deliverControl(inbox, controlOf(LINK_UP, 65_538), 0)
  put(0, 2)
  expect(work().map(([kind]) => kind)).toEqual([LINK_UP, KIND])
  expect(foreign.count).toBe(1)
})

test('a link that ends is told in its place', () => {
  const { put, work, inbox } = open()
  put(0, 1)
  deliverControl(inbox, controlOf(LINK_DOWN, 0), 0)
  put(0, 2)
  expect(work().map((words) => [words[0], words[1]])).toEqual([
    [KIND, PEER],
    [LINK_DOWN, PEER],
    [KIND, PEER],
  ])
})

test('a decide stage that takes nothing stops it, and never sees half a message', () => {
  const { put, stage, out, work } = open({ capacityCells: 8 })
  for (let i = 0; i < 10; i++) put(2, i)
  stage.doWork()
  stage.doWork()
  const seen: number[][] = []
  for (let i = 0; i < 20; i++) {
    const cells = cellsOf(out)
    expect(cells.length % 3).toBe(0)
    seen.push(...cells, ...work())
  }
  expect(seen.filter(([kind]) => kind === KIND).map((words) => words[7])).toEqual(
    Array.from({ length: 10 }, (_, i) => i),
  )
})
