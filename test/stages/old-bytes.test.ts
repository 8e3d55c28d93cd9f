/**
 * Bytes of an old leader that lie in a receive ring when a newer ballot is promised (R1): the real
 * receive, decide and wal stages around a real core and WAL, over rings and a disk in memory. The
 * WAL writes what its order cells name, whatever lies in the rings.
 */
import { expect, test } from 'vitest'
import { xpaxosCodec } from '../../src/codec/message.ts'
import { type Ballot, type LogIndex, ballotOf, nodeId } from '../../src/core/ids.ts'
import { createXPaxos } from '../../src/core/xpaxos/core.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import { deliver, deliverControl, inboxMemory, openInbox } from '../../src/net/inbox.ts'
import { LINK_UP } from '../../src/net/link.ts'
import { createMemoryStorage } from '../../src/sim/memory-storage.ts'
import * as cell from '../../src/stages/cells.ts'
import { createDecideStage } from '../../src/stages/decide-stage.ts'
import { createReceiveStage } from '../../src/stages/receive-stage.ts'
import { createRetention, keepBehind } from '../../src/stages/retention.ts'
import { createWalStage } from '../../src/stages/wal-stage.ts'
import { openWal } from '../../src/wal/open.ts'
import { readFrames } from '../../src/wal/read.ts'
import { closeWal } from '../../src/wal/wal.ts'
import { CONFIG, VOTERS } from '../support/core-state.ts'
import { cellRing, cellsOf, logRing, port, putFrame } from '../support/engine-cells.ts'
import { DIR, IDENTITY } from '../support/wal-run.ts'

const OLD = ballotOf(1, nodeId(2))
const NEW = ballotOf(2, nodeId(3))
const NONE = { attempt: 1, chosen: 0, chosenChain: 0, syncChain: -1 }

/** Node 1 with two peers; `from` sends, `work` goes round all stages until nothing moves. */
function open() {
  const storage = createMemoryStorage()
  const options = { dir: DIR, identity: IDENTITY, segmentSizeBytes: 2 ** 18 }
  const { wal } = openWal(storage, options)
  const inboxes = new Map([2, 3].map((id) => [id, openInbox(inboxMemory(64, 2 ** 16))]))
  const readback = logRing(2 ** 16)
  const rings = [logRing(2 ** 16), inboxes.get(2)!.log, inboxes.get(3)!.log, readback]
  const [received, orders, events, sends] = [cellRing(), cellRing(), cellRing(), cellRing(256)]
  const invalid = { count: 0 }
  const links = [2, 3].map((peer, place) => ({
    ...{ peer, cells: inboxes.get(peer)!.cells, log: inboxes.get(peer)!.log, ring: place + 1 },
    ...{ delay: null, checksBodies: true },
    onInvalid: () => void (invalid.count += 1),
    onPayload: () => undefined,
  }))
  const nowMs = () => 1
  const receive = createReceiveStage(links, port(received), nowMs)
  const core = createXPaxos({ ...CONFIG, self: nodeId(1), members: VOTERS })
  const decide = createDecideStage<XPaxosMessage>({
    ...{ core, codec: xpaxosCodec, logRings: rings, received, fromWal: events, nowMs },
    ...{ submitted: cellRing(), reads: cellRing(), fromApply: cellRing(), fromFanout: cellRing() },
    ...{
      toWal: port(orders),
      toApply: port(cellRing()),
      toFanout: port(sends),
      toIngest: null,
    },
    ...{ answersAll: false, retention: createRetention(keepBehind(0)), lease: null },
    ...{ wallMs: nowMs, onView: () => undefined },
    onEvent: (name) => void (invalid.count += name === 'frame-invalid' ? 1 : 0),
  })
  const disk = createWalStage({
    ...{ wal, logRings: rings, readback, orders, toDecide: port(events), nowMs },
    onGroup: () => undefined,
  })
  for (const [peer, inbox] of inboxes) {
    const fields = { kind: LINK_UP, peer, session: 1, incarnation: 1, nonce: peer, history: 0 }
    deliverControl(inbox, fields, 0)
  }
  const send = (from: number, message: object, entries: readonly [number, string][] = []): void => {
    const source = logRing(2 ** 16)
    const { ballot } = message as { ballot: Ballot }
    for (const [first, text] of entries) putFrame(source, [text], { first, ballot })
    const sizeBytes = source.published * 64
    const words = new Float64Array(16)
    xpaxosCodec.encode({ ...NONE, ...message } as XPaxosMessage, words, 0)
    words[2] = sizeBytes
    words[3] = entries.length
    const payload = sizeBytes === 0 ? null : source.bytes.slice(0, sizeBytes)
    expect(deliver(inboxes.get(from)!, words, 0, payload, 0)).toBe(true)
  }
  const work = (): void => {
    while (receive.doWork() + decide.doWork() + disk.doWork() > 0);
  }
  /** What another start finds: its promises, and the ballot of birth of each frame of its log. */
  const reopen = () => {
    closeWal(wal)
    const { wal: again, recovered } = openWal(storage, options)
    const { promised, acceptedBallot, last } = recovered
    const found = readFrames(again, 1 as LogIndex, last, 2 ** 16, new Uint8Array(2 ** 16))
    return { promised, acceptedBallot, born: found.frames.map(({ ballot }) => ballot) }
  }
  return { core, inboxes, send, work, reopen, sends, invalid }
}

/** The node follows the old leader, and has two entries of it on its disk. */
function following() {
  const node = open()
  node.send(2, { kind: 'prepare', ballot: OLD })
  const sync = { kind: 'accept-sync', ballot: OLD, syncPoint: 0, adoptedLast: 0 }
  node.send(2, { ...sync, prev: 0, through: 0 })
  node.send(2, { kind: 'accept', ballot: OLD, prev: 0, through: 1 }, [[1, 'one']])
  node.send(2, { kind: 'accept', ballot: OLD, prev: 1, through: 2 }, [[2, 'two']])
  node.work()
  expect(node.core.view).toMatchObject({ promised: OLD, acceptedBallot: OLD, last: 2, durable: 2 })
  return node
}

test('entries of the old leader behind a newer promise stay bytes in a ring', () => {
  const { core, inboxes, send, work, reopen } = following()
  send(3, { kind: 'prepare', ballot: NEW })
  work()
  const before = inboxes.get(2)!.log.published
  send(2, { kind: 'accept', ballot: OLD, prev: 2, through: 3 }, [[3, 'three, too late']])
  expect(inboxes.get(2)!.log.published).toBeGreaterThan(before)
  work()
  expect(core.view).toMatchObject({ promised: NEW, acceptedBallot: OLD, last: 2 })
  expect(reopen()).toEqual({ promised: NEW, acceptedBallot: OLD, born: [OLD, OLD] })
})

test('the same when both come at once: what decide takes first is the order', () => {
  const { core, send, work, reopen } = following()
  // The links are read in turn, so what node 2 sent goes first, and is in what is promised.
  send(2, { kind: 'accept', ballot: OLD, prev: 2, through: 3 }, [[3, 'three']])
  send(3, { kind: 'prepare', ballot: NEW })
  send(2, { kind: 'accept', ballot: OLD, prev: 3, through: 4 }, [[4, 'four']])
  work()
  const { promised, last } = core.view
  expect(promised).toBe(NEW)
  expect([3, 4]).toContain(last)
  const born = Array.from({ length: last }, () => OLD)
  expect(reopen()).toEqual({ promised: NEW, acceptedBallot: OLD, born })
})

test('what the new leader puts at the same index is what the disk has', () => {
  const { core, send, work, reopen } = following()
  send(3, { kind: 'prepare', ballot: NEW })
  work()
  send(2, { kind: 'accept', ballot: OLD, prev: 2, through: 4 }, [
    [3, 'three of the old leader'],
    [4, 'four of the old leader'],
  ])
  const sync = { kind: 'accept-sync', ballot: NEW, syncPoint: 2, adoptedLast: 2 }
  send(3, { ...sync, prev: 2, through: 2 })
  send(3, { kind: 'accept', ballot: NEW, prev: 2, through: 3 }, [[3, 'three of the new leader']])
  work()
  expect(core.view).toMatchObject({ promised: NEW, acceptedBallot: NEW, last: 3, durable: 3 })
  expect(reopen()).toEqual({ promised: NEW, acceptedBallot: NEW, born: [OLD, OLD, NEW] })
})

test.each([
  ['with a damaged frame', 0, 70],
  ['of a kind that no core has', 200, -1],
])('messages %s leave no bytes behind, and end their session', (_what, kind, spoil) => {
  const node = open()
  const { sends, inboxes, work } = node
  work()
  cellsOf(sends)
  for (let round = 1; round <= 20; round++) {
    const source = logRing(2 ** 16)
    putFrame(source, ['x'.repeat(15_000)], { first: 3, ballot: OLD })
    const payload = source.bytes.slice(0, source.published * 64)
    if (spoil >= 0) payload[spoil]! ^= 1
    const words = new Float64Array(16)
    const accept = { kind: 'accept', ballot: OLD, prev: 2, through: 3, ...NONE }
    xpaxosCodec.encode(accept as unknown as XPaxosMessage, words, 0)
    if (kind > 0) words[0] = kind
    words.set([payload.length, 1], 2)
    expect(deliver(inboxes.get(2)!, words, 0, payload, 0)).toBe(true)
    work()
    const resets = cellsOf(sends).filter((words) => words[0] === cell.RESET_LINK)
    expect(resets.map((words) => words[1])).toEqual([2])
  }
  expect(node.invalid.count).toBe(20)
  expect(node.core.view.last).toBe(0)
})
