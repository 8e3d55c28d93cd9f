/** The public interface of the package: what an embedding program imports from `xpaxos`. */
export { ReplicaError, hasCode } from '../base/errors.ts'
export type { ErrorCode, ErrorDetails, Outcome } from '../base/errors.ts'
export type {
  ApplyBatch,
  SnapshotSink,
  SnapshotSource,
  StateMachine,
} from '../base/state-machine.ts'
export { createHashStateMachine } from '../state-machines/hash-state-machine.ts'
export {
  createKeyValueStateMachine,
  encodeCas,
  encodeDelete,
  encodePut,
} from '../state-machines/key-value.ts'
export type { PeerAddress } from './node-spec.ts'
export type { MemberStatus, MembershipChange, MembershipStatus } from './operator.ts'
export type { ApplyReport } from './assemble.ts'
export type { Writer } from './client.ts'
export type { Proposed } from './proposals.ts'
export type { CommonOptions, MemberOptions, NodeOptions, StateMachineOption } from './config.ts'
export type { Consistency, ReadAnswer, ReadOptions } from './read-client.ts'
export type { Reader } from './reader.ts'
export type { SessionToken } from './token.ts'
export type { Watch, WatchOptions } from './watch.ts'
export type { WatchEvent } from './stretch.ts'
export { type LocalCluster, type LocalClusterOptions, openLocalCluster } from './local-cluster.ts'
export type { SequenceOutcome, Session } from './session-client.ts'
export { type NodeEvent, type NodeStatus, type ReplicaNode, openNode } from './node.ts'
