/**
 * Planted faults in the stages, the client side and the core's reads: what only a run on the stages
 * of production can betray. Their place in the table is in mutants.ts.
 */
import type { ClassName } from './classes.ts'
import type { Mutant } from './mutants.ts'

const S = 'src/stages'
const E = 'src/engine'
const X = 'src/core/xpaxos'
/** On the stages with every seed. */
const CLIENTS: readonly ClassName[] = ['clients']
const SLEEPS: readonly ClassName[] = ['clients', 'pause']

export const STAGE_MUTANTS: readonly Mutant[] = [
  // ---- I9: reads -------------------------------------------------------------------------------
  {
    name: 'read-asked-before-applied',
    invariant: 'I9',
    file: `${S}/read-desk.ts`,
    from: 'index > (isOfToken ? applied : taken)',
    to: 'index > (isOfToken ? applied : taken) + 8',
    classes: CLIENTS,
  },
  {
    name: 'session-read-at-once',
    invariant: 'I9',
    file: `${E}/read-client.ts`,
    from: 'batch.mode < 0 ? batch.value : -1',
    to: 'batch.mode < 0 ? 0 : -1',
    classes: CLIENTS,
  },
  {
    name: 'lease-not-looked-at-behind-the-value',
    invariant: 'I9',
    file: `${S}/read-desk.ts`,
    from: 'const isLost = lease !== 0 && !isLeaseValid(',
    to: 'const isLost = lease < 0 && !isLeaseValid(',
    classes: SLEEPS,
  },
  {
    name: 'lease-without-the-wall-clock',
    invariant: 'I9',
    file: 'src/ring/lease.ts',
    from: 'return isBefore(now, until) && isBefore(wall, untilWall)',
    to: 'return isBefore(now, until) && untilWall !== wall + 0.5',
    classes: SLEEPS,
  },
  {
    name: 'lease-longer-by-the-drift',
    invariant: 'I9',
    file: `${X}/lease.ts`,
    from: 'Math.floor((leaseMs * (1_000 - driftPerMille)) / 1_000)',
    to: 'Math.floor((leaseMs * (1_000 + 4 * driftPerMille)) / 1_000)',
    classes: SLEEPS,
  },
  {
    name: 'restarted-voter-promises-at-once',
    invariant: 'I9',
    file: `${X}/lease.ts`,
    from: 'if (lease.startUntil < 0) lease.startUntil = now + owedMs(state)',
    to: 'if (lease.startUntil < 0) lease.startUntil = now',
    classes: CLIENTS,
  },
  {
    name: 'read-joins-the-round-that-is-out',
    invariant: 'I9',
    file: `${X}/reads.ts`,
    from: 'if (reads.round === null && serves(state)) startRound(state, effects)\n',
    to:
      'if (reads.round === null && serves(state)) startRound(state, effects)\n' +
      '    else if (reads.round !== null) reads.round.own.push(...reads.waiting.splice(0))\n',
    classes: CLIENTS,
  },
  {
    name: 'read-round-of-one-voter-too-few',
    invariant: 'I9',
    file: `${X}/read-state.ts`,
    from: 'voters - promiseQuorum + 1',
    to: 'voters - promiseQuorum',
    classes: CLIENTS,
  },
  {
    name: 'stale-bound-forgotten',
    invariant: 'I9',
    file: `${X}/reads.ts`,
    from: 'if (at < 0 || state.now - at > boundMs) return',
    to: 'if (at < 0) return',
    classes: CLIENTS,
  },
  {
    name: 'answer-of-another-key',
    invariant: 'I9',
    file: `${S}/read-desk.ts`,
    from: 'ask(wiring.stateMachine, question, place),',
    to: 'ask(wiring.stateMachine, batch.questions[0]!, place),',
    classes: CLIENTS,
  },
  // ---- I10: sessions ---------------------------------------------------------------------------
  {
    name: 'sequence-skipped',
    invariant: 'I10',
    also: ['I21', 'I19', 'I12'],
    file: `${S}/session-table.ts`,
    from:
      'if (sequence !== session.next || sequence === Number.MAX_SAFE_INTEGER) return false\n' +
      '  session.next += 1',
    to: 'if (sequence < session.next) return false\n  session.next = sequence + 1',
    classes: CLIENTS,
  },
  {
    name: 'repeat-answered-with-its-own-index',
    invariant: 'I10',
    file: `${S}/session-frames.ts`,
    from: 'index: kept.index, next, result: kept.result',
    to: 'index, next, result: kept.result',
    classes: CLIENTS,
  },
  {
    name: 'repeat-answered-without-its-result',
    invariant: 'I10',
    also: ['no-panic'],
    file: `${S}/session-frames.ts`,
    from: 'index: kept.index, next, result: kept.result',
    to: 'index: kept.index, next, result: null',
    classes: CLIENTS,
  },
  {
    name: 'newest-session-expires',
    invariant: 'I10',
    also: ['I21', 'I19', 'I12'],
    file: `${S}/session-table.ts`,
    from: 'session.usedAt < oldest.usedAt',
    to: 'session.usedAt > oldest.usedAt',
    classes: CLIENTS,
  },
  {
    name: 'session-opened-by-a-retry',
    invariant: 'I10',
    also: ['I21', 'I19', 'I12'],
    file: `${S}/session-table.ts`,
    from: 'if (session !== undefined) session.usedAt = index\n  return session',
    to:
      'if (session !== undefined) session.usedAt = index\n' +
      '  else if (index > 0) sessions.set(id, {\n' +
      '    ...{ id, next: 1, from: 1, usedAt: index },\n' +
      '    ...{ answers: createFifo<Answer>(), answersSizeBytes: 0, gaps: [] },\n' +
      '  })\n  return sessions.get(id)',
    classes: CLIENTS,
  },
  {
    name: 'results-swapped-in-a-run',
    invariant: 'I10',
    also: ['I19'],
    file: `${S}/session-frames.ts`,
    from: 'results[place - run.first] = bytes',
    to: 'results[run.count - 1 - place + run.first] = bytes',
    classes: CLIENTS,
  },
  // ---- I12: honest errors ----------------------------------------------------------------------
  {
    name: 'published-called-not-proposed',
    invariant: 'I12',
    also: ['I10'],
    file: `${E}/proposals.ts`,
    from: 'reject(isPublished ? unknown : notProposed)',
    to: 'reject(isPublished ? notProposed : unknown)',
    classes: CLIENTS,
  },
  {
    name: 'committed-called-never',
    invariant: 'I12',
    file: `${E}/session-client.ts`,
    from: "|| verdict === VERDICT.answerExpired) return 'committed'",
    to: "|| verdict === VERDICT.answerExpired) return 'never'",
    classes: CLIENTS,
  },
  {
    name: 'fence-that-stops-nothing',
    invariant: 'I12',
    also: ['I10', 'I19', 'I21', 'L3'],
    file: `${S}/session-table.ts`,
    from: 'session.gaps.push({ first: session.next, through: next - 1 })\n  session.next = next',
    to: 'session.gaps.push({ first: session.next, through: next - 1 })',
    classes: CLIENTS,
  },
  {
    name: 'proposals-mixed-up',
    invariant: 'I10',
    also: ['no-panic', 'I12'],
    file: `${E}/proposals.ts`,
    from: 'const deferred = settle(entry, sequence - entry.next)',
    to: 'const deferred = settle(entry, sequence - entry.next + 1) ?? settle(entry, 0)',
    classes: CLIENTS,
  },
  // ---- I19: one state on all nodes -------------------------------------------------------------
  {
    name: 'answers-kept-by-the-proposer-alone',
    invariant: 'I19',
    also: ['I10', 'I12'],
    file: `${S}/session-frames.ts`,
    from: 'keepAnswer(table, run.sessions[i]!, { sequence, index, result })',
    to: 'if (answers !== null) keepAnswer(table, run.sessions[i]!, { sequence, index, result })',
    classes: CLIENTS,
  },
  {
    name: 'entry-beside-its-place',
    invariant: 'I19',
    also: ['I21', 'no-panic'],
    file: `${S}/frame-batch.ts`,
    from: 'batch.offset = payloadAt\n',
    to: 'batch.offset = payloadAt + (batch.count > 2 && left === 1 ? 4 : 0)\n',
    classes: CLIENTS,
  },
  {
    name: 'closed-session-lives-where-it-was-not-asked',
    invariant: 'I19',
    also: ['I10', 'I21', 'I12'],
    file: `${S}/session-frames.ts`,
    from: 'tell(answers, index, carryOut(table, log.bytes[cursor.payloadOffset]!, cursor, index))',
    to:
      'const code = log.bytes[cursor.payloadOffset]!\n' +
      '      if (code !== 2 || answers !== null) {\n' +
      '        tell(answers, index, carryOut(table, code, cursor, index))\n      }',
    classes: CLIENTS,
  },
  // ---- I21: the log as it is fed to the state machine ------------------------------------------
  {
    name: 'run-executed-again',
    invariant: 'I21',
    also: ['I10', 'no-panic'],
    file: `${S}/session-frames.ts`,
    from: '    run.count = 0\n    run.sessions.length = 0',
    to: '    if (answers === null) run.count = 0\n    run.sessions.length = 0',
    classes: CLIENTS,
  },
  {
    name: 'range-counts-frames-not-entries',
    invariant: 'I21',
    also: ['I19', 'no-panic'],
    file: `${S}/decide-stage.ts`,
    from: 'frames.reduce((index, { count }) => index + count, first) - 1',
    to: 'frames.reduce((index) => index + 1, first) - 1',
    classes: CLIENTS,
  },
  {
    name: 'bytes-free-before-they-are-applied',
    invariant: 'I21',
    also: ['no-panic', 'I19'],
    file: `${S}/decide-stage.ts`,
    from: '    holdForApply(holds, through, frames)\n',
    to: '',
    classes: CLIENTS,
  },
  {
    name: 'session-frame-fed-as-it-is',
    invariant: 'I21',
    also: ['I10', 'no-panic'],
    file: `${S}/apply-stage.ts`,
    from: '(header.flags & FRAME_FLAG_SESSIONS) !== 0',
    to: '(header.flags & FRAME_FLAG_SESSIONS) !== 0 && first % 7 !== 0',
    classes: CLIENTS,
  },
  // ---- I20: snapshots --------------------------------------------------------------------------
  {
    name: 'snapshot-kept-ahead-of-the-log',
    invariant: 'I20',
    file: `${S}/snapshot-keeper.ts`,
    from: 'made > 0 && made <= durable',
    to: 'made > 0',
    classes: CLIENTS,
  },
  {
    name: 'state-of-a-later-moment',
    invariant: 'I20',
    also: ['I19', 'I21'],
    file: `${S}/snapshot-taker.ts`,
    from: 'orders.words[base + 1] = index\n',
    to: 'orders.words[base + 1] = index > 8 ? index - 1 : index\n',
    classes: CLIENTS,
  },
  {
    name: 'sessions-left-out-of-the-restore',
    invariant: 'I19',
    also: ['I10', 'I21'],
    file: `${S}/snapshot-restore.ts`,
    from: 'sessions: loadSessions(sessions, limits),',
    to: 'sessions: { ...loadSessions(sessions, limits), sessions: new Map() },',
    classes: CLIENTS,
  },
  {
    name: 'clients-left-out-of-the-restore',
    invariant: 'I10',
    file: `${S}/snapshot-restore.ts`,
    from: 'if (!loadClients(check, clients)) return',
    to: 'if (clients.length < 0) return',
    classes: CLIENTS,
  },
  // ---- What stages do with bytes, disks and links ----------------------------------------------
  {
    name: 'durable-told-before-the-sync',
    invariant: 'I8',
    also: ['I2'],
    file: `${S}/wal-stage.ts`,
    from: 'toDecide.words[base + 1] = lsn\n',
    to: 'toDecide.words[base + 1] = lsn + 1\n',
    classes: CLIENTS,
  },
  {
    name: 'bytes-free-before-they-are-sent',
    invariant: 'I8',
    also: ['no-panic', 'I13'],
    file: `${S}/decide-stage.ts`,
    from: 'const ticket = holdForSend(holds, to, frames, nowMs())',
    to: 'const ticket = holdForSend(holds, to, [], nowMs()) + frames.length * 0',
    classes: CLIENTS,
  },
  {
    name: 'floor-of-the-step-itself',
    invariant: 'I8',
    also: ['I4', 'no-panic', 'I6'],
    file: `${S}/decide-stage.ts`,
    from: 'words[base + 5] = floor\n',
    to: 'words[base + 5] = core.view.chosen\n',
    classes: CLIENTS,
  },
  {
    name: 'waiting-overtaken-in-fanout',
    invariant: 'I13',
    also: ['no-panic', 'I8', 'L5', 'L3'],
    file: `${S}/fanout-stage.ts`,
    from: 'if (sizeOfFifo(waiting) > 0 || !trySend(queue, words, base)) {',
    to: 'if (!trySend(queue, words, base)) {',
    classes: CLIENTS,
  },
  {
    name: 'body-not-checked-by-receive',
    invariant: 'I5',
    also: ['I8', 'I13', 'no-panic', 'I19', 'I21'],
    file: `${S}/receive-stage.ts`,
    from: 'const check = checksBodies ? checkFrame : readFrameHeader',
    to: 'const check = checksBodies ? readFrameHeader : checkFrame',
    classes: CLIENTS,
  },
]
