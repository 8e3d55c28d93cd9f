/**
 * Makes the protocol core of a node, and the account of its log, from its spec and what its WAL
 * recovered. Runs on the thread of the decide stage; pure.
 */
import { FRAME_SIZE_MAX_BYTES } from '../codec/frame.ts'
import type { Member } from '../core/engine.ts'
import { createBasicPaxos } from '../core/basic-paxos/core.ts'
import { NO_INDEX, nodeId } from '../core/ids.ts'
import { createXPaxos } from '../core/xpaxos/core.ts'
import { type Retention, STRETCH_SIZE_BYTES, createRetention } from '../stages/retention.ts'
import type { Recovery } from './data-dir.ts'
import { type NodeSpec, type Tuning, clientIdBaseOf } from './node-spec.ts'

export function xpaxosOf(spec: NodeSpec, { wal, configs, start }: Recovery) {
  const { tuning } = spec
  return createXPaxos(
    {
      self: nodeId(spec.id),
      members: firstMembers(spec),
      ...(spec.quorums && { quorums: spec.quorums }),
      heartbeatMs: tuning.heartbeatMs,
      electionTimeoutMs: tuning.electionTimeoutMs,
      windowBytes: tuning.windowBytes,
      batchBytesMax: tuning.batchBytesMax,
      batchEntriesMax: tuning.batchEntriesMax,
      catchUpBytesMax: catchUpBytesMaxOf(tuning),
      pipelineDepth: tuning.pipelineDepth,
      seed: tuning.seed,
      requestBase: clientIdBaseOf(spec),
      leaseMs: tuning.leaseMs,
      driftPerMille: tuning.driftPerMille,
    },
    {
      ...wal,
      firstRetained: wal.retainedFirst,
      configs,
      applied: start.snapshot?.index ?? NO_INDEX,
    },
  )
}

/** Never more than a link, a segment or a ring takes as one, the ring like a batch (config.ts). */
export const catchUpBytesMaxOf = (
  tuning: Pick<Tuning, 'catchUpRatio' | 'batchBytesMax' | 'ringSizeBytes' | 'walSegmentSizeBytes'>,
): number =>
  Math.min(
    tuning.catchUpRatio * tuning.batchBytesMax,
    FRAME_SIZE_MAX_BYTES,
    tuning.ringSizeBytes / 8,
    tuning.walSegmentSizeBytes / 2,
  )

/** A node that joins a running cluster starts alone, as a learner: the log tells it the rest. */
function firstMembers({ id, members, joins }: NodeSpec): readonly Member[] {
  return joins ? [{ id: nodeId(id), role: 'learner', weight: 0 }] : members
}

export function basicPaxosOf(spec: NodeSpec, { basic }: Recovery) {
  const { tuning } = spec
  return createBasicPaxos(
    {
      self: nodeId(spec.id),
      members: spec.members,
      proposers: tuning.proposers,
      inflightInstancesMax: tuning.inflightInstancesMax,
      retryMs: Math.max(1, Math.floor(tuning.heartbeatMs / 5)),
      takeoverMs: tuning.electionTimeoutMs,
      resendMsMin: 4 * tuning.electionTimeoutMs,
      seed: tuning.seed,
    },
    basic!,
  )
}

export function retentionOf({ tuning }: NodeSpec, { wal }: Recovery): Retention {
  const { retainBytes, laggardBytesMax, loggerBytesMax, loggerStrict } = tuning
  const isStrict = loggerStrict === 1
  // The WAL trims whole segments: much shorter stretches would only be counted.
  const stretchSizeBytes = Math.min(STRETCH_SIZE_BYTES, tuning.walSegmentSizeBytes / 4)
  const limits = { retainBytes, laggardBytesMax, loggerBytesMax, isStrict }
  return createRetention(limits, wal.stretches, stretchSizeBytes)
}
