/**
 * Planted faults: each is one replacement in the text of one source file, put in by a module load
 * hook before the file is loaded (plant.ts). Production code has no switches. A mutant names the
 * invariant whose break must betray it.
 *
 * Invariant: `from` occurs exactly once in its file (tested).
 */
import type { InvariantId } from './invariants.ts'
import type { ClassName } from './classes.ts'
import { MEMBER_MUTANTS } from './member-mutants.ts'
import { STAGE_MUTANTS } from './stage-mutants.ts'

export interface Mutant {
  readonly name: string
  /** What must break; any of these counts as caught. */
  readonly invariant: InvariantId
  readonly also?: readonly InvariantId[]
  readonly file: string
  readonly from: string
  readonly to: string
  /** Classes that are likely to meet it; default: those of X-Paxos. */
  readonly classes?: readonly ClassName[]
}

const X = 'src/core/xpaxos'
const B = 'src/core/basic-paxos'
const MEMBERSHIP = 'src/core/membership.ts'
const ALL_BASIC: readonly ClassName[] = ['basic-paxos']

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'reply-before-durable',
    invariant: 'I2',
    also: ['I8'],
    file: `${X}/core.ts`,
    from: 'waiting[count]!.lsn <= durableLsn) count += 1',
    to: 'waiting[count]!.lsn <= durableLsn + 1) count += 1',
  },
  {
    name: 'chosen-by-one-too-few',
    invariant: 'I8',
    file: `${X}/leader.ts`,
    from: 'scratch[acceptQuorum - 1] ?? 0',
    to: 'scratch[acceptQuorum - 2] ?? 0',
  },
  {
    name: 'led-by-one-promise-too-few',
    invariant: 'I3',
    file: `${X}/configs.ts`,
    from: 'return count >= size',
    to: "return count >= size - (quorum === 'prepare' ? 1 : 0)",
  },
  {
    name: 'self-counted-at-once',
    invariant: 'I8',
    file: `${X}/leader.ts`,
    from: 'return state.leadership!.ownMatched',
    to: 'return lastOf(state.tail)',
  },
  {
    name: 'lower-prepare-promised',
    invariant: 'I2',
    file: `${X}/acceptor.ts`,
    from: 'if (ballot < state.promised) return reject(',
    to: 'if (ballot < state.promised) state.promised = ballot\n  if (ballot < 0) return reject(',
  },
  {
    name: 'own-ballot-resumed',
    invariant: 'I1',
    also: ['I2'],
    file: `${X}/phase1.ts`,
    from: 'ballot = ballotAbove(above, state.self.id)',
    to: 'ballot = above % 65536 === state.self.id ? above : ballotAbove(above, state.self.id)',
  },
  {
    name: 'adopt-own-log-always',
    invariant: 'I6',
    file: `${X}/phase1.ts`,
    from: 'if (promise.acceptedBallot > best.acceptedBallot || longer) best = promise',
    to: 'if (promise.acceptedBallot < 0 || (longer && false)) best = promise',
  },
  {
    name: 'sync-commits-with-first-chunk',
    invariant: 'I5',
    also: ['no-panic', 'I8', 'I6'],
    file: `${X}/acceptor.ts`,
    from: 'if (sync.last < sync.adoptedLast) return acknowledge(',
    to: 'if (sync.last < 0) return acknowledge(',
  },
  {
    name: 'no-min-in-sync-point',
    invariant: 'I5',
    also: ['no-panic', 'I8', 'L5'],
    file: `${X}/leader.ts`,
    from: 'same ? Math.min(promise.last, adopted.last) : promise.floor',
    to: 'same ? promise.last : promise.floor',
  },
  {
    name: 'chosen-believed-in-any-state',
    invariant: 'I8',
    also: ['I5', 'no-panic'],
    file: `${X}/acceptor.ts`,
    from: 'const follows = ballot === state.promised && ballot === state.acceptedBallot',
    to: 'const follows = ballot >= 0',
  },
  {
    name: 'learner-fed-the-tail',
    invariant: 'I16',
    also: ['I8'],
    file: `${X}/stream.ts`,
    from: 'if (!isVoter(peer.role)) return state.floor',
    to: 'if (!isVoter(peer.role)) return lastOf(state.tail)',
  },
  {
    name: 'logger-stands',
    invariant: 'I15',
    file: MEMBERSHIP,
    from: "member.role === 'voter' && member.weight > 0",
    to: "member.role !== 'learner' && member.weight > 0",
  },
  {
    name: 'weight-zero-stands',
    invariant: 'I17',
    file: MEMBERSHIP,
    from: "member.role === 'voter' && member.weight > 0",
    to: "member.role === 'voter' && member.weight >= 0",
  },
  {
    name: 'applied-twice-after-read',
    invariant: 'I21',
    file: `${X}/apply-cursor.ts`,
    from: 'if (frames[0]?.first === state.applyNext) orderApply(state, effects, frames)',
    to:
      'if (frames[0]?.first === state.applyNext) {\n' +
      '    orderApply(state, effects, frames)\n    state.applyNext = frames[0].first\n  }',
  },
  {
    name: 'queued-bytes-let-go',
    invariant: 'I8',
    file: `${X}/leader.ts`,
    from: 'frame.kept = true\n    leadership.queueLast',
    to: 'leadership.queueLast',
  },
  {
    name: 'strayed-voter-left-alone',
    invariant: 'L5',
    also: ['L1', 'L3', 'I17'],
    file: `${X}/election.ts`,
    from: 'else if (state.now - leadership.strayedSince > state.config.electionTimeoutMs) {',
    to: 'else if (state.now < 0) {',
    classes: ['partition', 'mixed', 'crash'],
  },
  {
    name: 'open-group-not-aborted',
    invariant: 'I22',
    file: `${X}/leader.ts`,
    from: 'abort: isGroupOpen(state.tail) })',
    to: 'abort: false })',
    classes: ['groups'],
  },
  {
    name: 'open-group-forgotten-by-restart',
    invariant: 'I22',
    file: `${X}/tail.ts`,
    from: 'sizeBytes: 0, lsn: NO_LSN, continues, frame: null',
    to: 'sizeBytes: 0, lsn: NO_LSN, continues: false, frame: null',
    classes: ['groups'],
  },
  {
    name: 'abort-although-no-group-is-open',
    invariant: 'I22',
    file: `${X}/tail.ts`,
    from: 'tail.head ? tail.marks.at(-1)!.continues : tail',
    to: 'tail.head ? tail.marks.some(({ continues }) => continues) : tail',
    classes: ['groups'],
  },
  {
    name: 'basic-lower-prepare-promised',
    invariant: 'I2',
    also: ['no-panic'],
    file: `${B}/acceptor.ts`,
    from: 'if (ballot < at.promised) return reject(state, effects, from, at, ballot)',
    to: 'if (ballot < at.promised) at.promised = 0 as typeof ballot',
    classes: ALL_BASIC,
  },
  {
    name: 'basic-answer-before-durable',
    invariant: 'I8',
    also: ['I2', 'I4'],
    file: `${B}/acceptor.ts`,
    from: 'if (next === undefined || next.lsn > lsn) break',
    to: 'if (next === undefined || next.lsn > lsn + 1) break',
    classes: ALL_BASIC,
  },
  {
    name: 'basic-quorum-too-small',
    invariant: 'I8',
    also: ['I4', 'I19'],
    file: `${B}/state.ts`,
    from: 'quorum: (voters.length >> 1) + 1',
    to: 'quorum: voters.length >> 1',
    classes: ALL_BASIC,
  },
  ...MEMBER_MUTANTS,
  ...STAGE_MUTANTS,
]
