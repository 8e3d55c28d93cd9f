import { expect, test } from 'vitest'
import type { ApplyBatch, StateMachine } from '../../src/base/state-machine.ts'
import { hasCode } from '../../src/base/errors.ts'
import { release } from '../../src/ring/log-ring.ts'
import type { WatchDesk } from '../../src/stages/watch-desk.ts'
import { createApplyCheck } from '../../src/stages/apply-check.ts'
import {
  REPLY_HEADER_SIZE_BYTES,
  createApplyStage,
  replySizeOf,
} from '../../src/stages/apply-stage.ts'
import * as cell from '../../src/stages/cells.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from '../support/engine-cells.ts'

const OWN = 7

function open(
  apply: (batch: ApplyBatch) => void,
  replyRingBytes = 2 ** 22,
  cells = 64,
  watch: WatchDesk | null = null,
) {
  const log = logRing()
  const orders = cellRing()
  const toDecide = cellRing()
  const replies = cellRing(cells)
  const replyBytes = logRing(replyRingBytes)
  const none = (): Promise<void> => Promise.resolve()
  const stateMachine: StateMachine = {
    ...{ apply, query: (question) => question, snapshot: none, restore: none },
  }
  const stage = createApplyStage({
    stateMachine,
    check: createApplyCheck(true),
    isOwnClient: (id) => id === OWN,
    logRings: [logRing(), log],
    orders,
    toDecide: port(toDecide),
    toClient: { port: port(replies), bytes: replyBytes },
    desk: null,
    watch,
    onApplied: () => undefined,
  })
  const give = port(orders)
  const put = (payloads: readonly string[], first: number, clientId = OWN): void => {
    const { frame, place } = putFrame(log, payloads, { first, clientId, clientSequence: first })
    const through = first + payloads.length - 1
    order(give, [cell.APPLY, first, frame.sizeBytes, 1, 1, place.offset, 0, through])
  }
  /** Replies that are there, freed: [index, size] each, and the sequences that are complete. */
  const take = () => {
    const found: [number, number][] = []
    const complete: number[] = []
    for (const words of cellsOf(replies)) {
      let at = words[cell.AT_OFFSET]!
      for (let i = 0; i < words[cell.AT_FRAMES]!; i++) {
        const size = replyBytes.view.getUint32(at, true)
        found.push([replyBytes.view.getFloat64(at + 8, true), size])
        expect(replyBytes.bytes[at + REPLY_HEADER_SIZE_BYTES]).toBe(found.at(-1)![0] & 255)
        at += replySizeOf(size)
      }
      if (words[2]! > 0) release(replyBytes, words[7]!)
      if (words[6]! > 0) complete.push(words[6]!)
    }
    return { found, complete }
  }
  const applied = () => cellsOf(toDecide).map((words) => words[1])
  return { stage, give, put, take, applied }
}

/** Answers every entry with so many bytes of its index. */
const answering = (sizeBytes: number) => (batch: ApplyBatch) => {
  for (let i = 0; i < batch.count; i++) {
    batch.reply(i, new Uint8Array(sizeBytes).fill((batch.first + i) & 255))
  }
}

test('entries come once, in order, by either walk; what was applied is told', () => {
  const seen: string[] = []
  const { stage, put, applied } = open((batch) => {
    while (batch.next()) {
      const { offset, size, bytes } = batch
      seen.push(new TextDecoder().decode(bytes.slice(offset, offset + size)))
    }
    for (let i = batch.count - 1; i >= 0; i--) {
      seen.push(new TextDecoder().decode(batch.payload(i).slice()))
    }
    expect(() => batch.payload(batch.count)).toThrow(RangeError)
  })
  put(['a', 'bb'], 1)
  put(['', 'c'], 3)
  stage.doWork()
  expect(seen).toEqual(['a', 'bb', 'bb', 'a', '', 'c', 'c', ''])
  expect(applied()).toEqual([2, 4])
})

test('only those who proposed here are answered, wherever their bytes come from', () => {
  const { stage, put, take } = open(answering(1))
  put(['a'], 1)
  put(['b'], 2, 99)
  put(['c', 'd'], 3)
  stage.doWork()
  expect(take()).toEqual({
    found: [
      [1, 1],
      [3, 1],
      [4, 1],
    ],
    complete: [1, 4],
  })
})

test('answers that are too many for one piece come in pieces, the last one completes', () => {
  const { stage, put, take } = open(answering(300_000))
  put(
    Array.from({ length: 10 }, () => 'x'),
    1,
  )
  const all: [number, number][] = []
  const complete: number[] = []
  for (let i = 0; i < 10 && complete.length === 0; i++) {
    stage.doWork()
    const { found, complete: ended } = take()
    all.push(...found)
    complete.push(...ended)
  }
  expect(all.map(([index]) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(complete).toEqual([10])
})

test('a client that takes no answers stops the applying, and loses none', () => {
  const { stage, put, take, applied } = open(answering(1), 2 ** 22, 4)
  for (let i = 1; i <= 10; i++) put(['x'], i)
  for (let i = 0; i < 5; i++) stage.doWork()
  put(['x'], 11)
  for (let i = 0; i < 5; i++) stage.doWork()
  expect(applied()).not.toContain(11)
  const indexes: number[] = []
  for (let i = 0; i < 20; i++) {
    indexes.push(...take().found.map(([index]) => index))
    stage.doWork()
  }
  expect(indexes).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
})

test('an order that comes while watches are asked for waits for the next cycle', () => {
  // It may be of an entry that was proposed behind such a watch, which has to be fed it.
  let arrive = (): void => put(['late'], 1)
  const takeAsked = (): number => {
    arrive()
    arrive = () => undefined
    return 0
  }
  const desk = { takeAsked, replies: { isOn: false } } as unknown as WatchDesk
  const { stage, put, applied } = open(() => undefined, 2 ** 22, 64, desk)
  stage.doWork()
  expect(applied()).toEqual([])
  stage.doWork()
  expect(applied()).toEqual([1])
})

test('an order that nobody can carry out is a bug', () => {
  const { stage, give } = open(() => undefined)
  order(give, [999])
  expect(() => stage.doWork()).toThrow('an order has somebody to carry it out')
})

test('a state machine that throws is named, with the index', () => {
  const { stage, put } = open(() => {
    throw new Error('no')
  })
  put(['a'], 41)
  let error: unknown = null
  try {
    stage.doWork()
  } catch (cause) {
    error = cause
  }
  expect(hasCode(error, 'E_STATE_MACHINE') && error.message).toContain('index 41: no')
})

test('an answer that no ring could take is refused on every node', () => {
  const { stage, put } = open(answering(2 ** 21 + 1))
  put(['a'], 1, 99)
  expect(() => stage.doWork()).toThrow('a reply has at most')
})
