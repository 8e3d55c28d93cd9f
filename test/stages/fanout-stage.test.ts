import { expect, test } from 'vitest'
import type { PeerLink } from '../../src/net/link.ts'
import * as cell from '../../src/stages/cells.ts'
import { createFanoutStage } from '../../src/stages/fanout-stage.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'

/** Takes as many messages as it is told to; says that bytes are free when it is told to. */
function link() {
  const state = { room: Infinity, sent: [] as number[], sentTicket: 0, resets: [] as number[] }
  const self: PeerLink = {
    send(words, base, payload, ticket) {
      if (state.room === 0) return false
      state.room -= 1
      expect(words[base + 1]).toBe(1)
      expect(payload?.length ?? 0).toBe(words[base + cell.AT_SIZE])
      state.sent.push(ticket)
      return true
    },
    up: true,
    session: 1,
    get sentTicket() {
      return state.sentTicket
    },
    reset: (ticket) => {
      state.resets.push(ticket)
      state.sentTicket = Math.max(ticket, state.sentTicket)
    },
    close: () => undefined,
  }
  return { self, state }
}

function open() {
  const two = link()
  const three = link()
  const orders = cellRing(8_192)
  const events = cellRing()
  const clock = { now: 0 }
  const stage = createFanoutStage({
    self: 1,
    links: new Map([
      [2, two.self],
      [3, three.self],
    ]),
    logRings: [logRing()],
    orders,
    toDecide: port(events),
    onSent: () => undefined,
    poll: () => 0,
    nowMs: () => clock.now,
  })
  const give = port(orders)
  const send = (to: number, ticket: number, sizeBytes = 128): void =>
    order(give, [9, to, sizeBytes, 1, 0, 0, ticket])
  const sentOf = () => cellsOf(events).map((words) => words.slice(0, 3))
  return { two: two.state, three: three.state, stage, send, give, sentOf, clock }
}

test('a peer that takes nothing holds up no other, and gets its messages in order later', () => {
  const { two, three, stage, send } = open()
  two.room = 1
  for (let i = 1; i <= 6; i++) send(2 + (i % 2), i)
  stage.doWork()
  expect([two.sent, three.sent]).toEqual([[2], [1, 3, 5]])
  two.room = Infinity
  send(2, 7)
  stage.doWork()
  expect(two.sent).toEqual([2, 4, 6, 7])
})

test('a ticket is reported once, when its bytes are free', () => {
  const { two, stage, send, sentOf } = open()
  send(2, 4)
  stage.doWork()
  expect(sentOf()).toEqual([])
  two.sentTicket = 4
  stage.doWork()
  stage.doWork()
  expect(sentOf()).toEqual([[cell.SENT, 2, 4]])
})

test('a reset drops what waits and frees its bytes; the link goes on', () => {
  const { two, stage, send, give, sentOf } = open()
  two.room = 0
  send(2, 5)
  send(2, 6)
  order(give, [cell.RESET_LINK, 2])
  stage.doWork()
  expect([two.resets, sentOf()]).toEqual([[6], [[cell.SENT, 2, 6]]])
  two.room = Infinity
  send(2, 7)
  stage.doWork()
  expect(two.sent).toEqual([7])
})

test('what waits for a peer that takes nothing is bounded; a slow one keeps its session', () => {
  const { two, stage, send, clock } = open()
  two.room = 0
  for (let i = 0; i < 4_500; i++) send(2, 0, 0)
  for (let i = 0; i < 20; i++) stage.doWork()
  expect(two.resets).toEqual([])
  clock.now = 1_001
  send(2, 0, 0)
  stage.doWork()
  expect(two.resets).toEqual([0])
})
