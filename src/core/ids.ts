/**
 * The numbers of the protocol. At run time they are plain doubles, unboxed in hot loops and
 * ordered by `<`; the brands only keep them from being swapped. All stay below 2^53.
 */
import { assert } from '../base/assert.ts'
import type { Brand } from '../base/brand.ts'

export type NodeId = Brand<number, 'NodeId'> // 1..65535; 0 = nobody
export type LogIndex = Brand<number, 'LogIndex'> // slot, 1-based; 0 = before the log
export type Ballot = Brand<number, 'Ballot'> // round * 65536 + node: total order, one owner
export type Lsn = Brand<number, 'Lsn'> // WAL sequence number, 1-based, never reused

export const NODE_ID_LIMIT = 65_536
const ROUND_MAX = Math.floor(Number.MAX_SAFE_INTEGER / NODE_ID_LIMIT) - 1

export const NO_BALLOT = 0 as Ballot
export const NO_INDEX = 0 as LogIndex
export const NO_LSN = 0 as Lsn

export function nodeId(value: number): NodeId {
  assert(Number.isInteger(value) && value > 0 && value < NODE_ID_LIMIT, 'a node id is a u16')
  return value as NodeId
}

export function ballotOf(round: number, node: NodeId): Ballot {
  assert(Number.isInteger(round) && round >= 0 && round <= ROUND_MAX, 'a round fits a double')
  assert(node > 0 && node < NODE_ID_LIMIT, 'a ballot belongs to a real node')
  return (round * NODE_ID_LIMIT + node) as Ballot
}

export const ballotOwner = (ballot: Ballot): NodeId => (ballot % NODE_ID_LIMIT) as NodeId
export const ballotRound = (ballot: Ballot): number => Math.floor(ballot / NODE_ID_LIMIT)

/** The smallest ballot of `node` that is greater than `than`. */
export const ballotAbove = (than: Ballot, node: NodeId): Ballot =>
  ballotOf(ballotRound(than) + 1, node)
