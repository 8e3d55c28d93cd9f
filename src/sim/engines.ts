/**
 * The one file that makes a core from a plan: the simulator depends on the shapes of core/xpaxos
 * and core/basic-paxos configurations here and nowhere else. An engine is a core, its codec and its
 * judge.
 */
import { basicPaxosCodec } from '../codec/basic-paxos-message.ts'
import { decodeMembership } from '../codec/membership.ts'
import { xpaxosCodec } from '../codec/message.ts'
import type { MessageCodec } from '../codec/message-codec.ts'
import { createBasicPaxos } from '../core/basic-paxos/core.ts'
import type { BasicPaxosMessage } from '../core/basic-paxos/messages.ts'
import { foldBasicPaxos } from '../core/basic-paxos/recovered.ts'
import type { Core, Member } from '../core/engine.ts'
import { type Ballot, type Lsn, NO_INDEX } from '../core/ids.ts'
import { membershipProblem } from '../core/membership.ts'
import { createXPaxos } from '../core/xpaxos/core.ts'
import type { XPaxosMessage } from '../core/xpaxos/messages.ts'
import { createBasicOracle } from './basic-oracle.ts'
import type { Coverage } from './coverage.ts'
import type { Found } from './disk.ts'
import type { Judge } from './judge.ts'
import { createOracle } from './oracle.ts'
import type { Plan } from './plan.ts'

export interface Engine<M> {
  readonly codec: MessageCodec<M>
  /** Ring frames carry their index; Basic Paxos tells it beside them. */
  readonly indexed: boolean
  core(plan: Plan, member: Member, life: number, found: Found): Core<M>
  judge(plan: Plan, coverage: Coverage): Judge<M>
}

export const xpaxosEngine: Engine<XPaxosMessage> = {
  codec: xpaxosCodec,
  indexed: true,
  core(plan, member, life, found) {
    const { seed, members, quorums, knobs, stages } = plan
    const { heartbeatMs, electionTimeoutMs, windowBytes } = knobs
    const { batchBytesMax, batchEntriesMax, pipelineDepth } = knobs
    return createXPaxos(
      {
        self: member.id,
        // Who joins a running cluster knows itself alone: the log tells it the rest.
        members: plan.joiners.includes(member) ? [member] : members,
        ...(quorums !== null && !plan.joiners.includes(member) && { quorums }),
        heartbeatMs,
        electionTimeoutMs,
        windowBytes,
        batchBytesMax,
        batchEntriesMax,
        // Half a segment of its disk; on the stages an eighth of a ring, which is a batch.
        catchUpBytesMax: stages === null ? Math.min(4 * batchBytesMax, 2 ** 17) : batchBytesMax,
        pipelineDepth,
        seed: (seed + 1_000 * life) | 0,
        requestBase: 2 ** 20 * life,
        leaseMs: stages?.leaseMs ?? 0,
        driftPerMille: stages?.driftPerMille ?? 0,
      },
      {
        promised: found.promised as Ballot,
        acceptedBallot: found.acceptedBallot as Ballot,
        floor: found.floor as never,
        floorChain: found.floorChain,
        floorContinues: found.floorContinues,
        marks: found.marks,
        firstRetained: found.firstRetained,
        applied: found.applied ?? NO_INDEX,
        nextLsn: (found.lsn + 1) as Lsn,
        configs: found.configs.map(({ index, bytes }) => ({
          index,
          membership: decodeMembership(bytes, membershipProblem),
        })),
      },
    )
  },
  judge: createOracle,
}

export const basicPaxosEngine: Engine<BasicPaxosMessage> = {
  codec: basicPaxosCodec,
  indexed: false,
  core({ seed, members, knobs }, { id: self }, life, found) {
    const { heartbeatMs, electionTimeoutMs, proposers, inflightInstancesMax } = knobs
    const config = {
      self,
      members,
      proposers,
      inflightInstancesMax,
      retryMs: Math.max(1, Math.floor(heartbeatMs / 5)),
      takeoverMs: electionTimeoutMs,
      seed: (seed + 1_000 * life) | 0,
    }
    const records = found.records.map(({ lsn, record, frames }) => ({
      lsn,
      record,
      frame: frames[0] ?? null,
    }))
    return createBasicPaxos(config, foldBasicPaxos(records))
  },
  judge: ({ members }, coverage) => createBasicOracle(members, coverage),
}
