/**
 * Reads by read index on real cores (R33): the cluster of test/support refuses any answer that is
 * older than what was announced anywhere before the read was asked. Named histories first, then
 * drawn clusters with reads at every node. XPAXOS_READ_SEEDS=A..B runs those seeds instead.
 */
import { expect, test } from 'vitest'
import type { Member, MemberRole } from '../../src/core/engine.ts'
import { nodeId } from '../../src/core/ids.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import { readQuorumOf } from '../../src/core/xpaxos/read-state.ts'
import {
  type Cluster,
  type ClusterOptions,
  type Node,
  type Read,
  DEFAULTS,
  ask,
  block,
  crash,
  createCluster,
  cut,
  give,
  isOpen,
  leaderOf,
  mendAll,
  pause,
  restart,
  runFor,
  runUntil,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import { runSeed } from '../support/seed-run.ts'

const T = 200
const voters = (count: number): MemberRole[] => Array.from({ length: count }, () => 'voter')

/** Node 1 leads: it is the heaviest. */
function lab(roles: readonly MemberRole[], options: Partial<ClusterOptions> = {}): Cluster {
  const members = roles.map((role, i): Member => {
    const weight = role !== 'voter' ? 0 : i === 0 ? 9 : 1
    return { id: nodeId(i + 1), role, weight }
  })
  const cluster = createCluster({
    ...{ ...DEFAULTS, electionTimeoutMs: T, members, seed: 7 },
    ...options,
  })
  cluster.gaps = 0
  expect(runUntilDone(cluster, 10 * T, () => at(cluster, 1).leading !== null)).not.toBe(-1)
  runFor(cluster, T)
  return cluster
}

const at = (cluster: Cluster, id: number): Node => cluster.byId.get(nodeId(id))!
const readOf = (cluster: Cluster, id: number): Read => cluster.reads.get(id)!
const has =
  (...kinds: XPaxosMessage['kind'][]) =>
  ({ kind }: XPaxosMessage): boolean =>
    kinds.includes(kind)

/** Submits at a leader and waits until it is announced. */
function write(cluster: Cluster, node: Node): void {
  const goal = cluster.acknowledged
  expect(submit(cluster, node, [1])).toBe(true)
  expect(runUntilDone(cluster, 10 * T, () => cluster.acknowledged > goal)).not.toBe(-1)
}

function answered(cluster: Cluster, id: number): number {
  expect(runUntilDone(cluster, 10 * T, () => !isOpen(readOf(cluster, id)))).not.toBe(-1)
  return readOf(cluster, id).index
}

// ---- The plain way ---------------------------------------------------------------------------

test('a leader answers within one round trip, however far the next heartbeat is', () => {
  const cluster = lab(voters(3))
  write(cluster, at(cluster, 1))
  const id = ask(cluster, at(cluster, 1))
  runFor(cluster, 2 * 3 + 1)
  expect(readOf(cluster, id).index).toBe(1)
})

test('reads that come while a round is out share the next one', () => {
  const cluster = lab(voters(3))
  let rounds = 0
  cluster.onEffect = (_node, effect) => {
    const isConfirm = effect.kind === 'send' && effect.message.kind === 'confirm'
    if (isConfirm && effect.to === 2) rounds += 1
  }
  const first = ask(cluster, at(cluster, 1))
  const rest = Array.from({ length: 100 }, () => ask(cluster, at(cluster, 1)))
  expect(rounds).toBe(1)
  runFor(cluster, T / 4)
  for (const id of [first, ...rest]) expect(isOpen(readOf(cluster, id))).toBe(false)
  expect(rounds).toBe(2)
})

test('a lone node is its own quorum', () => {
  const cluster = lab(voters(1))
  write(cluster, at(cluster, 1))
  expect(answered(cluster, ask(cluster, at(cluster, 1)))).toBe(1)
})

test.each(['voter', 'learner'] as const)('a %s asks the leader once for all its reads', (role) => {
  const cluster = lab([...voters(3), role])
  write(cluster, at(cluster, 1))
  let requests = 0
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'send' && effect.message.kind === 'read-index') requests += 1
  }
  const ids = Array.from({ length: 50 }, () => ask(cluster, at(cluster, 4)))
  for (const id of ids) expect(answered(cluster, id)).toBe(1)
  expect(requests).toBe(2) // the first read alone, then all that came meanwhile
})

test('a Logger refuses reads, and counts for those of others', () => {
  const cluster = lab(['voter', 'logger', 'logger'])
  write(cluster, at(cluster, 1))
  expect(readOf(cluster, ask(cluster, at(cluster, 2))).refused).toBe('no-state')
  expect(answered(cluster, ask(cluster, at(cluster, 1)))).toBe(1)
})

test.each([
  [1, 1, 1],
  [3, 2, 2],
  [4, 3, 2],
  [5, 3, 3],
  [5, 4, 2],
  [5, 2, 4],
  [5, 5, 1],
])('%i voters, promises of %i: a round needs %i', (count, promiseQuorum, want) => {
  expect(readQuorumOf(count, promiseQuorum)).toBe(want)
  expect(want + promiseQuorum).toBeGreaterThan(count) // and one less would not meet
})

test('sizes 4 and 2 of 5: the leader and one other confirm, the leader alone does not', () => {
  const cluster = lab(voters(5), { quorums: { prepare: 4, accept: 2 } })
  write(cluster, at(cluster, 1))
  for (const id of [3, 4, 5]) cut(cluster, at(cluster, 1), at(cluster, id))
  const id = ask(cluster, at(cluster, 1))
  runFor(cluster, 10)
  expect(readOf(cluster, id).index).toBe(1)
  cut(cluster, at(cluster, 1), at(cluster, 2))
  const alone = ask(cluster, at(cluster, 1))
  runFor(cluster, T / 2)
  expect(isOpen(readOf(cluster, alone))).toBe(true)
})

test('while a change is open a round meets the quorums of both memberships', () => {
  const cluster = lab([...voters(3), 'learner'])
  write(cluster, at(cluster, 1))
  runFor(cluster, T)
  // The change is in the log and cannot be chosen; of four voters two are not enough.
  cluster.filter = (from, _to, message) =>
    from !== 1 && has('accepted')(message) ? 'drop' : undefined
  const change = { kind: 'role', id: nodeId(4), role: 'voter' } as const
  give(cluster, at(cluster, 1), { kind: 'change', id: 1, change })
  runFor(cluster, T / 4)
  const { filter } = cluster
  cluster.filter = (from, to, message) =>
    from > 2 && has('confirmed')(message) ? 'drop' : filter(from, to, message)
  const id = ask(cluster, at(cluster, 1))
  runFor(cluster, T / 2)
  expect(readOf(cluster, id).index).toBe(1) // 3 of q1 2, and 4 of q1 3: two meet both
  cluster.filter = (from, to, message) =>
    from !== 4 && has('confirmed')(message) ? 'drop' : filter(from, to, message)
  const fromNew = ask(cluster, at(cluster, 1))
  runFor(cluster, T / 2)
  expect(isOpen(readOf(cluster, fromNew))).toBe(true) // the newcomer counts in one of them only
})

// ---- What must not count ---------------------------------------------------------------------

/** Node 1 sleeps while 2 and 3 go on without it; nothing tells it so but answers to `confirm`. */
function deposeUnnoticed(cluster: Cluster): Node {
  cluster.filter = (_from, to, message) =>
    to === 1 && !has('confirmed')(message) ? 'drop' : undefined
  const next = (): Node | undefined => cluster.nodes.find((n) => n.id !== 1 && n.leading !== null)
  pause(cluster, at(cluster, 1), 20 * T)
  expect(runUntilDone(cluster, 10 * T, () => next() !== undefined)).not.toBe(-1)
  write(cluster, next()!)
  runUntilDone(cluster, 20 * T, () => at(cluster, 1).pausedUntil < cluster.now)
  expect(at(cluster, 1).leading).not.toBeNull()
  return at(cluster, 1)
}

test('a round that began before a read came does not confirm it (R33)', () => {
  const cluster = lab(voters(3))
  write(cluster, at(cluster, 1))
  const old = at(cluster, 1)
  // The voters confirm at once, and their answers are long on the way.
  cluster.filter = (_from, _to, message) => (has('confirmed')(message) ? 20 * T + 40 : undefined)
  const before = ask(cluster, old)
  runFor(cluster, 10)
  expect(isOpen(readOf(cluster, before))).toBe(true)
  deposeUnnoticed(cluster)
  const after = ask(cluster, old) // the cluster refuses an answer below what 2 and 3 announced
  runFor(cluster, 50 * T)
  expect(readOf(cluster, after).refused).not.toBeNull()
})

test('a voter that has promised another ballot confirms nothing (R33)', () => {
  const cluster = lab(voters(3))
  write(cluster, at(cluster, 1))
  const old = deposeUnnoticed(cluster)
  const id = ask(cluster, old)
  let confirmed = 0
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'send' && effect.message.kind === 'confirmed') confirmed += 1
  }
  runFor(cluster, 50 * T)
  expect(confirmed).toBeGreaterThan(0) // they were asked, and said whom they follow
  expect(readOf(cluster, id).refused).not.toBeNull()
})

test('what a voter confirmed to the last life of a leader confirms nothing to the next', () => {
  const cluster = lab(voters(3))
  write(cluster, at(cluster, 1))
  const old = at(cluster, 1)
  cluster.reorder = true // so that what the last session sent still arrives
  let isLate = true
  const wait = (): number => 31 * T - cluster.now
  cluster.filter = (_f, _t, message) => (has('confirmed')(message) && isLate ? wait() : undefined)
  ask(cluster, old)
  runFor(cluster, T / 4)
  isLate = false
  crash(cluster, old, Infinity)
  restart(cluster, old)
  expect(runUntilDone(cluster, 10 * T, () => old.leading !== null)).not.toBe(-1)
  runUntil(cluster, 11 * T - 30)
  deposeUnnoticed(cluster)
  const inner = cluster.filter
  cluster.filter = (from, to, message) =>
    has('confirm')(message) ? 'drop' : inner(from, to, message)
  const id = ask(cluster, old)
  runFor(cluster, 50 * T)
  expect(readOf(cluster, id).refused).not.toBeNull()
})

test('a new leader answers nothing before all it adopted is chosen in its own ballot (R33)', () => {
  const cluster = lab(voters(3))
  const old = at(cluster, 1)
  // Nodes 2 and 3 hold what node 1 announced and do not know that it is chosen.
  cluster.filter = (from, _to, message) => {
    if (from === 1 && has('chosen', 'heartbeat')(message)) return 'drop'
    return undefined
  }
  write(cluster, old)
  crash(cluster, old, Infinity)
  cluster.filter = (_from, _to, message) => (has('accepted')(message) ? 'drop' : undefined)
  const next = (): Node | undefined => cluster.nodes.find((n) => n.alive && n.leading !== null)
  expect(runUntilDone(cluster, 20 * T, () => next() !== undefined)).not.toBe(-1)
  expect(next()!.core.view.chosen).toBeLessThan(cluster.acknowledged)
  const id = ask(cluster, next()!)
  const other = cluster.nodes.find((node) => node.alive && node.leading === null)!
  const forwarded = ask(cluster, other)
  runFor(cluster, T / 2)
  expect(isOpen(readOf(cluster, id))).toBe(true)
  expect(isOpen(readOf(cluster, forwarded))).toBe(true)
  cluster.filter = () => undefined
  expect(answered(cluster, id)).toBe(1)
  expect(answered(cluster, forwarded)).toBe(1)
})

test('a leader with an empty log waits for its quorum too', () => {
  const roles = voters(3)
  const members = roles.map((role, i): Member => ({ id: nodeId(i + 1), role, weight: 9 - 4 * i }))
  const cluster = createCluster({ ...DEFAULTS, electionTimeoutMs: T, members, seed: 7 })
  cluster.filter = (_from, _to, message) => (has('accepted')(message) ? 'drop' : undefined)
  expect(runUntilDone(cluster, 10 * T, () => at(cluster, 1).leading !== null)).not.toBe(-1)
  const id = ask(cluster, at(cluster, 1))
  runFor(cluster, T)
  expect(isOpen(readOf(cluster, id))).toBe(true)
  cluster.filter = () => undefined
  expect(answered(cluster, id)).toBe(0)
})

// ---- What is lost ----------------------------------------------------------------------------

test('a lost confirm, answer, request or reply is repeated', () => {
  for (const kind of ['confirm', 'confirmed', 'read-index', 'read-index-reply'] as const) {
    const cluster = lab(voters(3))
    write(cluster, at(cluster, 1))
    let lost = 0
    cluster.filter = (_from, _to, message) =>
      has(kind)(message) && lost++ < 2 ? 'drop' : undefined
    expect(answered(cluster, ask(cluster, at(cluster, 3)))).toBe(1)
    expect(lost).toBeGreaterThan(2)
  }
})

test('a read that nobody can confirm ends with a reason', () => {
  const cluster = lab(voters(3))
  for (const other of [2, 3]) block(cluster, at(cluster, other), at(cluster, 1))
  const id = ask(cluster, at(cluster, 1))
  runFor(cluster, 5 * T)
  expect(['late', 'no-leader']).toContain(readOf(cluster, id).refused)
})

test('a read at a node that hears no leader ends with a reason, and not before its time', () => {
  const cluster = lab(voters(3))
  for (const other of [1, 2]) cut(cluster, at(cluster, 3), at(cluster, other))
  runFor(cluster, 2 * T)
  const id = ask(cluster, at(cluster, 3))
  runFor(cluster, 3 * T)
  expect(isOpen(readOf(cluster, id))).toBe(true)
  runFor(cluster, 2 * T)
  expect(readOf(cluster, id).refused).toBe('no-leader')
})

test('reads asked before a change of leader are answered by the next one', () => {
  const cluster = lab(voters(3))
  write(cluster, at(cluster, 1))
  cluster.filter = (_from, _to, message) => (has('confirm')(message) ? 'drop' : undefined)
  const id = ask(cluster, at(cluster, 3))
  runFor(cluster, 20)
  crash(cluster, at(cluster, 1), Infinity)
  cluster.filter = () => undefined
  expect(answered(cluster, id)).toBe(1)
})

test('a late reply to a request of the last life answers nothing', () => {
  const cluster = lab(voters(3))
  write(cluster, at(cluster, 1))
  const reader = at(cluster, 3)
  cluster.reorder = true // so that what the last session sent still arrives
  cluster.filter = (_f, _t, message) => (has('read-index-reply')(message) ? 3 * T : undefined)
  ask(cluster, reader)
  runFor(cluster, T / 4)
  crash(cluster, reader, Infinity)
  restart(cluster, reader)
  runFor(cluster, T)
  write(cluster, leaderOf(cluster)!)
  ask(cluster, reader) // the cluster refuses an answer of 1
  runFor(cluster, 10 * T)
  mendAll(cluster)
})

// ---- Stale with a bound ----------------------------------------------------------------------

test('a stale read is answered at once where the leader was heard within the bound', () => {
  const cluster = lab([...voters(3), 'learner'])
  write(cluster, at(cluster, 1))
  runFor(cluster, T / 2)
  for (const node of cluster.nodes) {
    const { index, refused } = readOf(cluster, ask(cluster, node, 'stale', T))
    expect([refused, index === 0 || index === 1]).toEqual([null, true])
  }
})

test('a stale read is refused once the last contact is beyond the bound', () => {
  const cluster = lab([...voters(3), 'learner'])
  for (const id of [1, 2, 3]) cut(cluster, at(cluster, 4), at(cluster, id))
  runFor(cluster, T / 2)
  expect(readOf(cluster, ask(cluster, at(cluster, 4), 'stale', T)).refused).toBeNull()
  runFor(cluster, T)
  expect(readOf(cluster, ask(cluster, at(cluster, 4), 'stale', T)).refused).toBe('too-stale')
  const patient = ask(cluster, at(cluster, 4), 'stale', 10 * T)
  expect(readOf(cluster, patient).refused).toBeNull()
})

test('a leader that nobody follows gives no stale reads, and none through its followers', () => {
  const cluster = lab([...voters(3), 'learner'])
  for (const id of [2, 3]) cut(cluster, at(cluster, 1), at(cluster, id))
  runUntilDone(cluster, 3 * T, () => at(cluster, 1).leading === null)
  runFor(cluster, T)
  expect(readOf(cluster, ask(cluster, at(cluster, 1), 'stale', T)).refused).toBe('too-stale')
})

test('no stale read comes of a leader that does not know yet what was announced', () => {
  const cluster = lab([...voters(3), 'learner'])
  write(cluster, at(cluster, 1))
  runFor(cluster, T / 2)
  crash(cluster, at(cluster, 1), Infinity)
  // Whoever leads next never gets what it adopted chosen.
  cluster.filter = (_from, _to, message) => (has('accepted')(message) ? 'drop' : undefined)
  const leads = () => [2, 3].some((id) => at(cluster, id).leading !== null)
  expect(runUntilDone(cluster, 10 * T, leads)).not.toBe(-1)
  runFor(cluster, T / 2)
  expect(leads()).toBe(true)
  for (const id of [2, 3, 4]) {
    const read = readOf(cluster, ask(cluster, at(cluster, id), 'stale', T))
    expect([id, read.refused]).toEqual([id, 'too-stale'])
  }
})

test('after a jump of its clock a node gives stale reads only of what it hears then', () => {
  const cluster = lab([...voters(3), 'learner'])
  runFor(cluster, T / 2)
  for (const node of cluster.nodes) {
    // It may have slept for an hour: what it heard before may be an hour old.
    give(cluster, node, { kind: 'clock-jumped' })
    expect(readOf(cluster, ask(cluster, node, 'stale', 10 * T)).refused).toBe('too-stale')
  }
  runFor(cluster, T)
  for (const node of cluster.nodes) {
    expect(readOf(cluster, ask(cluster, node, 'stale', T)).refused).toBeNull()
  }
})

// ---- Drawn clusters --------------------------------------------------------------------------

const [first = 1, last = 150] = (process.env['XPAXOS_READ_SEEDS'] ?? '1..150')
  .split('..')
  .map(Number)

const GROUP = 25
const groups: [number, number][] = []
for (let from = first; from <= last; from += GROUP) {
  groups.push([from, Math.min(last, from + GROUP - 1)])
}

test.each(groups)(
  'seeds %i to %i: no read is older than what was announced before it',
  (from, through) => {
    const failed: string[] = []
    let answers = 0
    for (let seed = from; seed <= through; seed++) {
      const { error, cluster } = runSeed(seed, null, { reads: true })
      if (error !== null) failed.push(`XPAXOS_READ_SEEDS=${seed}..${seed}: ${error.message}`)
      for (const { index } of cluster.reads.values()) if (index >= 0) answers += 1
    }
    if (failed.length > 0) throw new Error(failed.join('\n'))
    expect(answers).toBeGreaterThan(20 * (through - from + 1))
  },
)
