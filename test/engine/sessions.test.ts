/** Sessions over whole nodes: real leaders, killed; the log's answer, whoever is asked. */
import { expect, test } from 'vitest'
import {
  type LocalCluster,
  type Proposed,
  type ReplicaNode,
  type Session,
  hasCode,
} from '../../src/engine/index.ts'
import { SEQUENCE_STRIDE, SESSION_LIMITS } from '../../src/stages/session-table.ts'
import {
  LIST_MODULE,
  codeOf,
  failing,
  listMachines,
  openCluster,
  outcomeOf,
  proposeAgain,
  temporaryFolder,
  text,
  textOf,
  until,
  verdictOf,
} from '../support/engine.ts'

/** Cuts small frames, so that several are in flight. */
const IN_MEMORY = {
  durability: 'none',
  layout: 'inline',
  tuning: { batchEntriesMax: 4 },
} as const
/** Elects soon, for tests that stand a change of leader at any time. */
const QUICK = {
  ...IN_MEMORY,
  tuning: { ...IN_MEMORY.tuning, heartbeatMs: 20, electionTimeoutMs: 150 },
} as const

const otherThan = (nodes: readonly ReplicaNode[], node: ReplicaNode): ReplicaNode[] =>
  nodes.filter((one) => one !== node)
const range = (from: number, through: number): number[] =>
  Array.from({ length: through - from + 1 }, (_, i) => from + i)
const told = ({ index, result }: Proposed): [number, string | null] => [index, textOf(result)]

test.each(['inline', 'split'] as const)(
  '%s: a retry has its answer of then, also after a restart',
  async (layout) => {
    const options = { dataDir: temporaryFolder(), layout, stateMachine: LIST_MODULE }
    const first = await openCluster(options)
    const session = await (await first.leader()).openSession()
    const answers = await Promise.all(['a', 'mute', 'c'].map((one) => session.propose(text(one))))
    const { id } = session
    expect(answers.map(told)).toEqual([
      [id + 1, `${id + 1}:a`],
      [id + 2, null],
      [id + 3, `${id + 3}:c`],
    ])
    expect([session.next, answers[0]!.durability]).toEqual([4, 'os'])
    expect(told(await session.propose(text('c'), { sequence: 3 }))).toEqual(told(answers[2]!))
    await first.close()

    const again = await openCluster(options)
    const resumed = (await again.leader()).resumeSession(id, 2)
    const retried = await Promise.all(['mute', 'c', 'd'].map((one) => resumed.propose(text(one))))
    expect(retried.slice(0, 2).map(told)).toEqual(answers.slice(1).map(told))
    const { index } = retried[2]!
    await until('all have applied', () => again.nodes.every((one) => one.status().applied >= index))
    const verdict = verdictOf(await Promise.all(again.nodes.map((node) => node.close())))
    expect(new Set(verdict.hashes)).toEqual(new Set(['4:d']))
    expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
  },
)

test('what a session refuses has a code, and says whether it may have had an effect', async () => {
  const { lists, make } = listMachines()
  const cluster = await openCluster({ ...IN_MEMORY, stateMachine: make })
  const leader = await cluster.leader()
  const session = await leader.openSession()
  await session.propose(text('a'))
  const refused = async (promise: Promise<unknown>): Promise<[string, string]> => {
    const error = await failing(promise)
    return [codeOf(error), outcomeOf(error)]
  }
  const sure = 'not-proposed'
  const skipping = leader.resumeSession(session.id, 3)
  const gap = await failing(skipping.propose(text('c')))
  expect(hasCode(gap, 'E_OUT_OF_ORDER') && gap.detail).toEqual({ sequence: 3, next: 2 })
  expect([outcomeOf(gap), skipping.next]).toEqual([sure, 4])
  const ahead = session.propose(text('x'), { sequence: 3 })
  expect(await refused(ahead)).toEqual(['E_OUT_OF_ORDER', sure])
  const odd = session.propose(text('x'), { sequence: 0.5 })
  expect(await refused(odd)).toEqual(['E_CONFIG_INVALID', sure])
  expect(() => leader.resumeSession(0, 1)).toThrow('id=0: want an integer from 1')
  const aborted = session.propose(text('x'), { signal: AbortSignal.abort() })
  expect(await refused(aborted)).toEqual(['E_ABORTED', sure])
  expect(session.next).toBe(2) // nothing was handed out
  const size = session.propose(new Uint8Array(2 ** 20))
  expect(await refused(size)).toEqual(['E_PAYLOAD_SIZE', sure])

  const [follower] = otherThan(cluster.nodes, leader)
  await until('the follower follows', () => follower!.status().leader === leader.id)
  expect(await refused(follower!.openSession())).toEqual(['E_NOT_LEADER', sure])
  expect(() => follower!.resumeSession(session.id, 2)).toThrow('E_NOT_LEADER')
  const nobody = leader.resumeSession(session.id + 1, 1)
  expect(await refused(nobody.propose(text('x')))).toEqual(['E_SESSION_UNKNOWN', 'unknown'])
  expect(await nobody.outcome(1)).toBe('unknown')
  await session.close()
  expect(await refused(session.propose(text('x')))).toEqual(['E_CLOSED', sure])
  const late = leader.resumeSession(session.id, 2).propose(text('x'))
  expect(await refused(late)).toEqual(['E_SESSION_UNKNOWN', 'unknown'])
  expect(lists[leader.id - 1]).toEqual(['a'])
})

test('Basic Paxos has no sessions, and says so', async () => {
  const cluster = await openCluster({ ...IN_MEMORY, engine: 'basic-paxos', stateMachine: 'hash' })
  const leader = await cluster.leader()
  expect(codeOf(await failing(leader.openSession()))).toBe('E_NOT_AVAILABLE')
  expect(() => leader.resumeSession(1, 1)).toThrow('E_NOT_AVAILABLE')
})

test('an expired session is refused; an answer that is not kept is said to be so', async () => {
  const { lists, make } = listMachines()
  const cluster = await openCluster({ ...IN_MEMORY, nodes: 1, stateMachine: make })
  const leader = await cluster.leader()
  const old = await leader.openSession()
  const used = await leader.openSession()
  await old.propose(text('a'))
  const many = range(1, SESSION_LIMITS.answersMax + 1)
  await Promise.all(many.map((sequence) => used.propose(text('b'), { sequence })))
  const expired = await failing(used.propose(text('b'), { sequence: 1 }))
  expect(hasCode(expired, 'E_ANSWER_EXPIRED') && expired.detail.executed).toBe('yes')
  expect([outcomeOf(expired), await used.outcome(1)]).toEqual(['unknown', 'committed'])
  const fill = range(1, SESSION_LIMITS.sessionsMax - 1)
  await Promise.all(fill.map(() => leader.openSession()))
  expect(codeOf(await failing(old.propose(text('c'))))).toBe('E_SESSION_UNKNOWN')
  expect(codeOf(await failing(old.propose(text('a'), { sequence: 1 })))).toBe('E_SESSION_UNKNOWN')
  expect(await old.outcome(1)).toBe('unknown')
  expect(lists[leader.id - 1]!.filter((entry) => entry !== 'b')).toEqual(['a'])
  expect((await used.propose(text('b'))).result).not.toBeNull()
})

test('R37: behind `never` an old handle of the session has no effect any more', async () => {
  const { lists, make } = listMachines()
  const cluster = await openCluster({ ...IN_MEMORY, stateMachine: make })
  const leader = await cluster.leader()
  const old = await leader.openSession()
  await Promise.all(['a', 'b'].map((one) => old.propose(text(one))))
  const session = leader.resumeSession(old.id, 3)
  expect(await Promise.all([1, 2].map((one) => session.outcome(one)))).toEqual([
    ...['committed', 'committed'],
  ])
  expect(session.next).toBe(3) // what is committed needs no fence
  expect(await session.outcome(3)).toBe('never')
  const next = 4 + SEQUENCE_STRIDE
  const fenced = await Promise.all(['c', 'd'].map((one) => failing(old.propose(text(one)))))
  for (const [place, error] of fenced.entries()) {
    const { detail = null } = hasCode(error, 'E_SESSION_FENCED') ? error : {}
    expect([detail, outcomeOf(error)]).toEqual([{ sequence: 3 + place, next }, 'not-proposed'])
  }
  const [answer, decided] = await Promise.all([session.propose(text('e')), session.outcome(next)])
  expect([told(answer)[1]!.slice(-1), decided]).toEqual(['e', 'committed'])
  expect([await old.outcome(3), await old.outcome(2), old.next]).toEqual([
    ...['never', 'committed', next + 1],
  ])
  await old.propose(text('f'))
  expect(lists[leader.id - 1]).toEqual(['a', 'b', 'e', 'f'])
})

// ---- Leaders that die --------------------------------------------------------------------------

/** Waits for a leader other than those that are gone. */
async function leaderBut(cluster: LocalCluster, gone: ReadonlySet<ReplicaNode>) {
  await until('another leads', () => cluster.nodes.some((one) => one.leads && !gone.has(one)))
  return cluster.nodes.find((one) => one.leads && !gone.has(one))!
}

interface Client {
  readonly name: string
  readonly id: number
  /** By sequence, from 1: what was answered. */
  readonly answers: Map<number, Proposed>
}

const WINDOW = 24
const SURE: readonly string[] = ['E_NOT_LEADER', 'E_OUT_OF_ORDER', 'E_OVERLOADED']
const UNSURE: readonly string[] = ['E_LEADERSHIP_LOST', 'E_CLOSED']

/** Proposes all in flight at once, and again what failed; an answer of an earlier try stands. */
async function proposeWindow(client: Client, session: Session, sequences: readonly number[]) {
  await Promise.all(
    sequences.map(async (sequence) => {
      const payload = text(`${client.name}/${sequence}`)
      const answer = await session.propose(payload, { sequence }).catch((error: unknown) => {
        expect(SURE.includes(codeOf(error)) || UNSURE.includes(codeOf(error))).toBe(true)
        if (SURE.includes(codeOf(error))) expect(outcomeOf(error)).toBe('not-proposed')
        return null
      })
      if (answer === null) return
      const before = client.answers.get(sequence)
      if (before !== undefined) expect(told(answer)).toEqual(told(before))
      client.answers.set(sequence, answer)
    }),
  )
}

/** Sequence of the first entry without an answer. */
function firstOpen({ answers }: Client): number {
  let sequence = 1
  while (answers.has(sequence)) sequence += 1
  return sequence
}

/** The id of a new session, at whoever leads. */
async function openAt(cluster: LocalCluster): Promise<number> {
  for (;;) {
    const session = await (await cluster.leader()).openSession().catch((error: unknown) => {
      expect([...SURE, ...UNSURE]).toContain(codeOf(error))
      return null
    })
    if (session !== null) return session.id
  }
}

/** One leader's reign: entries until it is killed in the middle of them; then all of them again. */
async function reign(cluster: LocalCluster, gone: Set<ReplicaNode>, clients: readonly Client[]) {
  const leader = await leaderBut(cluster, gone)
  const windows = clients.map((client) => {
    const from = firstOpen(client)
    const session = leader.resumeSession(client.id, Math.max(1, from - 3))
    // The last answers once more: they must be what they were.
    return proposeWindow(client, session, range(Math.max(1, from - 3), from + WINDOW))
  })
  const answered = clients[0]!.answers.size
  const kill = until('some are answered', () => clients[0]!.answers.size > answered + 1)
  kill.catch(() => undefined) // all of them may have failed before one was answered
  await Promise.race([kill, Promise.all(windows)])
  gone.add(leader)
  await leader.kill()
  await Promise.all(windows)
}

test('T1, T27, T38: 20 leaders die under pipelined sessions: one effect each', async () => {
  for (let round = 0; round < 5; round++) {
    const { lists, make } = listMachines()
    const cluster = await openCluster({ ...QUICK, nodes: 9, stateMachine: make })
    const gone = new Set<ReplicaNode>()
    const clients: Client[] = []
    for (const name of ['a', 'b'])
      clients.push({ name, id: await openAt(cluster), answers: new Map() })
    for (let kills = 0; kills < 4; kills++) await reign(cluster, gone, clients)
    const wanted = Math.max(...clients.flatMap(({ answers }) => [...answers.keys()]))
    while (clients.some((client) => firstOpen(client) <= wanted)) {
      const last = await leaderBut(cluster, gone)
      for (const client of clients) {
        if (!last.leads) break
        await proposeWindow(client, last.resumeSession(client.id, 1), range(1, wanted))
      }
    }
    expect(wanted).toBeGreaterThan(WINDOW)
    const { index } = await proposeAgain(cluster, 'end')
    const alive = cluster.nodes.filter((node) => !gone.has(node))
    await until('all apply', () => alive.every((node) => node.status().applied === index))
    for (const node of alive) {
      checkList(lists[node.id - 1]!, clients)
      expect(node.status().last).toBe(index) // nobody proposes it for ever (T1)
    }
    await cluster.close()
  }
})

/** Each client's entries once and in order, whatever was tried however often. */
function checkList(list: readonly string[], clients: readonly Client[]): void {
  for (const { name, answers } of clients) {
    const own = list.filter((entry) => entry.startsWith(`${name}/`))
    expect(own).toEqual(range(1, own.length).map((sequence) => `${name}/${sequence}`))
    expect(own.length).toBeGreaterThanOrEqual(Math.max(...answers.keys()))
  }
}

test('T6: what is called not-proposed, or never, is not in any state; committed is', async () => {
  const { lists, make } = listMachines()
  const cluster = await openCluster({ ...IN_MEMORY, nodes: 5, stateMachine: make })
  const gone = new Set<ReplicaNode>()
  const seen = new Set<string>()
  for (const late of [0, 1]) {
    const leader = await leaderBut(cluster, gone)
    const session = await leader.openSession()
    const outcomes = new Map<string, string>()
    const propose = (name: string): Promise<unknown> =>
      session.propose(text(name)).then(
        () => outcomes.set(name, 'committed'),
        (error: unknown) => outcomes.set(name, outcomeOf(error)),
      )
    const first = range(1, 40).map((sequence) => propose(`${late}/${sequence}`))
    if (late === 1) await Promise.race(first)
    const rest = range(41, 60).map((sequence) => propose(`${late}/${sequence}`))
    gone.add(leader)
    await leader.kill() // in the turn of the last ones: those were not published
    await Promise.all([...first, ...rest])
    const next = (await leaderBut(cluster, gone)).resumeSession(session.id, 61)
    for (const sequence of range(1, 60).toReversed()) {
      const name = `${late}/${sequence}`
      const decided = await next.outcome(sequence)
      expect(decided).not.toBe('unknown')
      expect([decided, outcomes.get(name)]).not.toEqual(['never', 'committed'])
      expect([decided, outcomes.get(name)]).not.toEqual(['committed', 'not-proposed'])
      const alive = cluster.nodes.find((node) => node.leads && !gone.has(node))!
      expect([name, lists[alive.id - 1]!.includes(name)]).toEqual([name, decided === 'committed'])
      seen.add(decided)
    }
    await next.propose(text(`${late}/new`))
  }
  expect(seen).toEqual(new Set(['never', 'committed']))
})

test('a fence whose own fate is unknown says unknown', async () => {
  const cluster = await openCluster({ ...IN_MEMORY, nodes: 3, stateMachine: 'hash' })
  const leader = await cluster.leader()
  const session = await leader.openSession()
  for (const node of otherThan(cluster.nodes, leader)) await node.kill()
  const outcome = session.outcome(1)
  await new Promise((resolve) => setImmediate(resolve)) // published, and nobody to accept it
  await leader.kill()
  expect(await outcome).toBe('unknown')
})

// ---- FIFO clients ------------------------------------------------------------------------------

interface Write {
  readonly client: number
  readonly sequence: number
  readonly invokedAt: number
  answeredAt: number
  index: number
}

test('writes are linearizable, and in the order of each client (ZooKeeper)', async () => {
  const { lists, make } = listMachines()
  const cluster = await openCluster({ ...IN_MEMORY, nodes: 5, stateMachine: make })
  const leader = await cluster.leader()
  const sessions = await Promise.all(range(1, 6).map(() => leader.openSession()))
  const writes: Write[] = []
  let time = 0
  const write = async (client: number, sequence: number): Promise<void> => {
    const one = { client, sequence, invokedAt: (time += 1), answeredAt: Infinity, index: 0 }
    writes.push(one)
    const { index } = await sessions[client]!.propose(text(`${client}/${sequence}`))
    Object.assign(one, { index, answeredAt: (time += 1) })
  }
  /** Nobody waits for his own answer before his next write, but every eighth time. */
  const runClient = async (client: number): Promise<void> => {
    const open: Promise<void>[] = []
    for (const sequence of range(1, 120)) {
      open.push(write(client, sequence))
      if ((sequence + client) % 8 === 0) await open.at(-1)
      else if (sequence % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(open)
  }
  await Promise.all(sessions.map((_, client) => runClient(client)))
  for (const client of sessions.keys()) {
    const own = writes.filter((one) => one.client === client)
    const indexes = own.map(({ index }) => index)
    expect(indexes).toEqual(indexes.toSorted((a, b) => a - b))
  }
  // Real time: what was answered before another was invoked stands before it in the log.
  const byInvocation = writes.toSorted((a, b) => a.invokedAt - b.invokedAt)
  const byAnswer = writes.toSorted((a, b) => a.answeredAt - b.answeredAt)
  let answered = 0
  let highest = 0
  for (const { invokedAt, index } of byInvocation) {
    while (byAnswer[answered]!.answeredAt < invokedAt) {
      highest = Math.max(highest, byAnswer[answered++]!.index)
    }
    expect(index).toBeGreaterThan(highest)
  }
  const inLog = writes.toSorted((a, b) => a.index - b.index)
  const want = inLog.map(({ client, sequence }) => `${client}/${sequence}`)
  expect(lists[leader.id - 1]).toEqual(want)
  expect(highest).toBeGreaterThan(0)
})
