/** The verdict must be able to fail: each lie of a node or a client is found. */
import { expect, test } from 'vitest'
import { type NodeEnd, verdictOf } from '../../native-free-bench/engines/verdict.ts'

const CLIENT = {
  id: 7,
  acknowledged: 100,
  acknowledgedFold: 11,
  submitted: 120,
  submittedFold: 12,
}

function node(id: number, more: object = {}): NodeEnd {
  const clients = [{ id: 7, through: 100, fold: 11 }]
  const report = { stateHash: 'a', entries: 100, duplicates: 0, gaps: 0, clients, ...more }
  return { id, role: 'follower', dataDir: null, report, alive: true }
}

const judge = (nodes: readonly NodeEnd[], failures: readonly string[] = []) =>
  verdictOf({
    ...{ nodes, failures, clients: [CLIENT], entries: 90, chosen: 100 },
    basicPaxos: false,
    acceptQuorum: null,
  })

test('nodes that applied what was acknowledged are safe', () => {
  const safety = judge([node(1), node(2), node(3)])
  expect([safety.violations, safety.checkedEntries, safety.entriesLost]).toEqual([0, 90, 0])
})

test.each<[string, object, string]>([
  ['lost', { clients: [{ id: 7, through: 99, fold: 11 }] }, 'was told 100, applied 99'],
  ['unheard of', { clients: [] }, 'was told 100, applied 0'],
  ['invented', { clients: [{ id: 7, through: 121, fold: 11 }] }, 'sent 120, applied 121'],
  ['altered', { clients: [{ id: 7, through: 100, fold: 10 }] }, 'not those acknowledged'],
  ['altered later', { clients: [{ id: 7, through: 120, fold: 10 }] }, 'not those submitted'],
  ['repeated', { duplicates: 1 }, '1 applied twice'],
  ['out of order', { gaps: 1 }, "gaps in a client's sequence"],
  ['a diverged state', { stateHash: 'b' }, 'state hashes differ'],
])('an entry %s is a violation', (_name, lie, words) => {
  const safety = judge([node(1), node(2, lie), node(3)])
  expect(safety.violationDetails.join()).toContain(words)
  expect(safety.checkedEntries).toBeLessThan(90)
})

test('a node that ended without a report, and an alarm, are violations', () => {
  expect(judge([node(1), { ...node(2), report: null }, node(3)]).violations).toBe(1)
  expect(judge([node(1), node(2), node(3)], ['node 1: alarm chain-mismatch']).violations).toBe(1)
})

test('a killed node is judged by its disk only', () => {
  const killed = { ...node(1), alive: false, report: null }
  expect(judge([killed, node(2), node(3)]).violations).toBe(0)
})

test('entries that no client vouches for are not checked', () => {
  const input = { nodes: [node(1), node(2), node(3)], clients: [], entries: 90, chosen: 100 }
  const safety = verdictOf({ ...input, failures: [], basicPaxos: false, acceptQuorum: null })
  expect([safety.violations, safety.checkedEntries < 90]).toEqual([1, true])
})
