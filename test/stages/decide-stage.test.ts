import { expect, test } from 'vitest'
import type { MessageCodec } from '../../src/codec/message-codec.ts'
import type { Core, Effect, Input } from '../../src/core/engine.ts'
import type { Ballot, LogIndex, Lsn, NodeId } from '../../src/core/ids.ts'
import * as cell from '../../src/stages/cells.ts'
import { createDecideStage } from '../../src/stages/decide-stage.ts'
import { type CellRing, available } from '../../src/ring/cell-ring.ts'
import { claim, flush } from '../../src/stages/port.ts'
import { createRetention, keepBehind } from '../../src/stages/retention.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from '../support/engine-cells.ts'

interface Note {
  readonly kind: 'note'
  readonly value: number
}
type Answer = (input: Input<Note>, effects: Effect<Note>[]) => void

const codec = {
  encode: (message: Note, words: Float64Array, base: number) => {
    words[base] = 9
    words[base + 7] = message.value
  },
  decode: (words: Float64Array, base: number): Note => ({
    kind: 'note',
    value: words[base + 7]!,
  }),
  probeOf: () => 0,
} as unknown as MessageCodec<Note>

function open(answer: Answer, cells = 64, onView = (_ingest: CellRing): void => undefined) {
  const view = { chosen: 0, last: 0 }
  const core = {
    step: (input: Input<Note>, effects: Effect<Note>[]) => {
      if (input.kind !== 'tick') answer(input, effects)
    },
    view,
  } as unknown as Core<Note>
  const log = logRing()
  const rings = {
    submitted: cellRing(cells),
    reads: cellRing(cells),
    lease: null,
    wallMs: () => 0,
    received: cellRing(cells),
    fromWal: cellRing(),
    fromApply: cellRing(),
    fromFanout: cellRing(),
  }
  const wal = cellRing(cells)
  const ingest = cellRing(cells)
  const stage = createDecideStage({
    ...{ core, codec, logRings: [log], ...rings, toApply: port(cellRing()) },
    ...{ toWal: port(wal), toFanout: port(cellRing()), toIngest: port(ingest) },
    ...{ answersAll: false, retention: createRetention(keepBehind(0)), nowMs: () => 0 },
    ...{ onEvent: () => undefined, onView: () => onView(ingest) },
  })
  const received = port(rings.received)
  const message = (value: number): void => order(received, [9, 2, 0, 0, 0, 0, 0, value])
  return { stage, view, log, rings, wal, ingest, message }
}

const promised = (lsn: number): Effect<Note> => ({
  ...{ kind: 'append', lsn: lsn as Lsn, frames: [], lazy: false },
  record: { kind: 'promised', ballot: 65_537 as Ballot },
})

test('a record carries the floor from before its step, later ones the new floor', () => {
  const { stage, view, wal, message } = open((input, effects) => {
    if (input.kind !== 'message') return
    effects.push(promised(input.message.value))
    view.chosen = input.message.value * 10 // the step learns more after it ordered the record
  })
  message(1)
  message(2)
  stage.doWork()
  expect(cellsOf(wal).map((words) => [words[1], words[5]])).toEqual([
    [1, 0],
    [2, 10],
  ])
})

test('while an order waits for room no new work is taken, answers are', () => {
  const inputs: string[] = []
  const { stage, rings, wal, message } = open((input, effects) => {
    inputs.push(input.kind)
    if (input.kind === 'message') for (let i = 1; i <= 6; i++) effects.push(promised(i))
  }, 4)
  message(1)
  stage.doWork()
  message(2)
  order(port(rings.fromWal), [cell.DURABLE, 1])
  stage.doWork()
  expect(inputs).toEqual(['message', 'durable'])
  expect(cellsOf(wal).map((words) => words[1])).toEqual([1, 2, 3, 4])
  stage.doWork()
  expect(inputs).toEqual(['message', 'durable', 'message'])
  expect(cellsOf(wal).map((words) => words[1])).toEqual([5, 6, 1, 2])
})

const LEAD: Effect<Note> = {
  kind: 'lead',
  ballot: 9 as Ballot,
  next: 1 as LogIndex,
  abort: false,
}

test('a caller that is blocked stops nothing: chosen is told once, when it takes again', () => {
  const { stage, rings, ingest, message } = open((input, effects) => {
    if (input.kind !== 'message') return
    const through = input.message.value as LogIndex
    if (through === 1) effects.push(LEAD)
    effects.push({ kind: 'chosen', through, chain: 0 })
    if (through === 50) effects.push({ kind: 'unlead', leader: 3 as NodeId })
  }, 4)
  for (let i = 1; i <= 60; i++) {
    message(i)
    stage.doWork()
  }
  expect(rings.received.counters).toBeDefined()
  const told: number[][] = []
  for (let i = 0; i < 5; i++) {
    told.push(...cellsOf(ingest).map((words) => [words[0]!, words[1]!]))
    stage.doWork()
  }
  expect(told).toEqual([
    [cell.LEAD, 9],
    [cell.CHOSEN, 1],
    [cell.CHOSEN, 50],
    [cell.UNLEAD, 3], // and nothing is told of 51 to 60: nobody here waits for it
  ])
})

test('what is told to clients is in the status before they hear of it', () => {
  const told: number[] = []
  const tell: Effect<Note>[] = [LEAD, { kind: 'chosen', through: 7 as LogIndex, chain: 0 }]
  const { stage, message, ingest } = open(
    (_input, effects) => effects.push(...tell),
    64,
    (cells) => told.push(available(cells)),
  )
  message(1)
  stage.doWork()
  expect(cellsOf(ingest).map((words) => words[0])).toEqual([cell.LEAD, cell.CHOSEN])
  expect(told.at(-1)).toBe(0)
})

test('bytes of a frame that the core did not keep are free at once', () => {
  const { stage, log, rings } = open(() => undefined)
  const out = port(rings.submitted)
  const { frame, place } = putFrame(log, ['x'], { first: 1 })
  const base = claim(out)
  cell.writeFrameCell(out.words, base, frame, { ring: 0, ...place })
  flush(out)
  stage.doWork()
  expect(log.released).toBe(place.end)
})
