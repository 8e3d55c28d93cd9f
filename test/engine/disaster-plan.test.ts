/**
 * Disaster commands on directories of the simulated disk: what is refused, what is written, and
 * that nothing half written is ever found, wherever the power fails.
 */
import { expect, test } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { FRAME_KIND } from '../../src/codec/frame.ts'
import { encodeMembership } from '../../src/codec/membership.ts'
import type { Member } from '../../src/core/engine.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import { type Membership, membershipOf } from '../../src/core/membership.ts'
import type { WalRecord } from '../../src/core/records.ts'
import { createXPaxos } from '../../src/core/xpaxos/core.ts'
import { carryOut } from '../../src/engine/disaster.ts'
import {
  type DisasterAction,
  type DisasterOrder,
  type DisasterPlan,
  planDisaster,
  surveyDir,
} from '../../src/engine/disaster-plan.ts'
import {
  type MemoryStorage,
  type Operation,
  createMemoryStorage,
  randomOf,
} from '../../src/sim/memory-storage.ts'
import { membershipOfBytes } from '../../src/stages/config-frame.ts'
import type { Identity } from '../../src/wal/identity.ts'
import { scanLog } from '../../src/wal/inspect.ts'
import { openWal } from '../../src/wal/open.ts'
import { append, closeWal, flush, trim } from '../../src/wal/wal.ts'
import { configFrameOf, frameOf, pack } from '../support/wal-records.ts'

const DIR = '/data/n1'
const IDENTITY: Identity = {
  ...{ clusterId: 'orders', nodeId: 1, incarnation: 1, engine: 'xpaxos', durability: 'fsync' },
}
const BALLOT = ballotOf(4, nodeId(2))
const SEGMENT_SIZE_BYTES = 16 * 1024

const voter = (id: number, weight = 5): Member => ({ id: nodeId(id), role: 'voter', weight })
const as = (id: number, role: 'logger' | 'learner'): Member => ({ id: nodeId(id), role, weight: 0 })
const THREE = [voter(1, 7), voter(2), as(3, 'logger')]

interface Made {
  readonly storage: MemoryStorage
  /** Entries of one frame behind the log. */
  readonly put: (frame: (first: number) => Uint8Array, floor?: number) => void
  readonly close: () => void
  readonly write: (record: WalRecord, floor?: number) => void
  readonly trimTo: (index: number) => void
}

/** A directory in the making: records as a node would order them. */
function begin(identity = IDENTITY): Made {
  const storage = createMemoryStorage()
  const { wal } = openWal(storage, { dir: DIR, identity, segmentSizeBytes: SEGMENT_SIZE_BYTES })
  const next = (): Lsn => (wal.fold.lsn + 1) as Lsn
  const write = (record: WalRecord, floor = 0): void => {
    append(wal, record, next(), floor as LogIndex, null, null)
    flush(wal)
  }
  return {
    storage,
    write,
    put(frame, floor = 0) {
      const prev = wal.fold.last
      const packed = pack([frame(prev + 1)])
      const { first, count } = packed.frames[0]!
      const through = (first + count - 1) as LogIndex
      const ballot = wal.fold.acceptedBallot
      const record = { kind: 'entries', ballot, prev, through } as const
      append(wal, record, next(), floor as LogIndex, packed, packed.frames)
      flush(wal)
    },
    trimTo: (index) => void trim(wal, index as LogIndex),
    close: () => closeWal(wal),
  }
}

/** A voter that accepted 10 entries and knows 8 of them chosen. */
function survivorDir(more: (made: Made) => void = () => undefined, identity = IDENTITY) {
  const made = begin(identity)
  made.write({ kind: 'promised', ballot: BALLOT })
  const zero = 0 as LogIndex
  made.write({ kind: 'sync-begin', ballot: BALLOT, syncPoint: zero, adoptedLast: zero })
  made.write({ kind: 'sync-commit', ballot: BALLOT, syncPoint: zero, through: zero })
  for (let i = 0; i < 10; i++) made.put((first) => frameOf(BALLOT, first, 1, 100), Math.min(i, 8))
  more(made)
  made.close()
  return made.storage
}

const config = (membership: Membership) => (first: number) =>
  configFrameOf(BALLOT, first, encodeMembership(membership))

const order = (
  action: DisasterAction = 'force-single-leader',
  members: readonly Member[] | null = THREE,
): DisasterOrder => ({ action, members, weight: 5 })

const planOf = (storage: MemoryStorage, given = order()): DisasterPlan =>
  planDisaster(surveyDir(storage, DIR), given)

/** Every file's bytes: what a refusal must leave as it is. */
const imageOf = (storage: MemoryStorage): string =>
  (storage.list(DIR) ?? [])
    .sort()
    .map((name) => `${name} ${Buffer.from(storage.peek(`${DIR}/${name}`)).toString('base64')}`)
    .join('\n')

/** What the node would start from. */
function found(storage: MemoryStorage) {
  const options = { dir: DIR, identity: IDENTITY, segmentSizeBytes: SEGMENT_SIZE_BYTES }
  const { wal, recovered } = openWal(storage, options)
  closeWal(wal)
  const { configs, last, lastChain, promised, acceptedBallot } = recovered
  const members = configs.map(({ bytes }) => membershipOfBytes(bytes))
  return { last, lastChain, promised, acceptedBallot, members, recovered }
}

function kindsOf(storage: MemoryStorage): number[] {
  const kinds: number[] = []
  scanLog(storage, DIR, (_first, _through, _chain, _ballot, kind) => kinds.push(kind))
  return kinds
}

// ---- What is written ---------------------------------------------------------------------------

test('the survivor keeps all that it held, alone in a history of its own, with the audit', () => {
  const storage = survivorDir()
  const plan = planOf(storage)
  carryOut(storage, plan, 'ops, ticket 7')
  const { last, members, promised, acceptedBallot } = found(storage)
  expect(last).toBe(12)
  expect(members).toEqual([
    {
      members: [voter(1, 7)],
      ...{ prepareQuorum: 1, acceptQuorum: 1, highestId: 3, historyEpoch: 65_537 },
    },
  ])
  const { entries, config: configKind, audit } = FRAME_KIND
  expect(kindsOf(storage)).toEqual([...Array<number>(10).fill(entries), configKind, audit])
  expect([promised, acceptedBallot]).toEqual([plan.ballot, plan.ballot])
  expect(plan.ballot).toBe(ballotOf(5, nodeId(1)))
  const [{ index, text } = { index: 0, text: '' }] = surveyDir(storage, DIR).audits
  expect(index).toBe(12)
  expect(JSON.parse(text)).toMatchObject({
    ...{ schema: 'xpaxos-audit/1', action: 'force-single-leader', by: 'ops, ticket 7' },
    ...{ survivor: 1, last: 10, knownChosen: 8, historyBefore: 0, historyAfter: 65_537 },
    members: THREE,
  })
})

test('a group that the log ends within is aborted before anything else', () => {
  const storage = survivorDir(({ put }) => put((first) => frameOf(BALLOT, first, 2, 50, true)))
  carryOut(storage, planOf(storage), 'ops')
  const { abort, config: configKind, audit } = FRAME_KIND
  expect(kindsOf(storage).slice(-3)).toEqual([abort, configKind, audit])
  expect(found(storage).recovered.marks.at(-1)).toMatchObject({ through: 15, continues: false })
})

test('an open change at the end is replaced; a second command makes a new history', () => {
  const open = config({ ...membershipOf([...THREE, voter(9)]), highestId: nodeId(20) })
  const storage = survivorDir(({ put }) => put(open))
  carryOut(storage, planOf(storage, order('force-single-leader', null)), 'first')
  carryOut(storage, planOf(storage, order('force-single-leader', null)), 'second')
  const { members } = found(storage)
  expect(members.at(-1)).toMatchObject({ highestId: 20, historyEpoch: 2 * 65_536 + 1 })
  expect(surveyDir(storage, DIR).audits.map(({ text }) => text)).toEqual([
    expect.stringContaining('first') as string,
    expect.stringContaining('second') as string,
  ])
})

test('two survivors make two histories', () => {
  const epochs = [1, 2].map((id) => {
    const storage = survivorDir(undefined, { ...IDENTITY, nodeId: id })
    return planOf(storage, order('force-single-leader')).after.historyEpoch
  })
  expect(epochs).toEqual([65_537, 65_538])
})

test.each<[what: string, members: Member[]]>([
  ['a learner', [voter(2), as(1, 'learner')]],
  ['a Logger with all of its log', [voter(2), voter(3), as(1, 'logger')]],
  ['a voter of weight 0', [voter(2), voter(1, 0)]],
  ['a node that was added, and has not learnt of it', [voter(2)]],
])('force-promote makes %s a voter that leads', (_what, members) => {
  const id = members.length === 1 ? 4 : 1
  const identity = { ...IDENTITY, nodeId: id }
  const storage = survivorDir(undefined, identity)
  const plan = planOf(storage, { ...order('force-promote', members), weight: 3 })
  expect(plan.after.members).toEqual([voter(id, 3)])
  const single = order('force-single-leader', members)
  expect(() => planOf(storage, single)).toThrow('force-promote')
})

// ---- What is refused ---------------------------------------------------------------------------

const refusals: readonly [
  what: string,
  storage: () => MemoryStorage,
  given: DisasterOrder,
  problem: RegExp,
][] = [
  [
    'Basic Paxos',
    () => survivorDir(undefined, { ...IDENTITY, engine: 'basic-paxos' }),
    order(),
    /engine basic-paxos/,
  ],
  [
    'an empty log',
    () => {
      const made = begin()
      made.close()
      return made.storage
    },
    order(),
    /holds no entry/,
  ],
  ['a log without members', () => survivorDir(), order('force-single-leader', null), /--members/],
  [
    'members that make no cluster',
    () => survivorDir(),
    order(undefined, [as(1, 'learner')]),
    /--members: /,
  ],
  [
    'members that the log knows',
    () => survivorDir(({ put }) => put(config(membershipOf(THREE)))),
    order(),
    /leave --members out/,
  ],
  [
    'a node that was removed',
    () => survivorDir(({ put }) => put(config(membershipOf([voter(2), voter(3)])))),
    order('force-single-leader', null),
    /was removed/,
  ],
  [
    'a promotion of who can lead',
    () => survivorDir(),
    order('force-promote'),
    /force-single-leader/,
  ],
  [
    'a trimmed log',
    () =>
      survivorDir(({ put, trimTo }) => {
        for (let i = 0; i < 20; i++) put((first) => frameOf(BALLOT, first, 1, 4_000), 20)
        trimTo(20)
      }),
    order(),
    /begins at/,
  ],
]

test.each(refusals)('%s is refused, and nothing is written', (_what, make, given, problem) => {
  const storage = make()
  const before = imageOf(storage)
  let error: unknown = null
  try {
    planOf(storage, given)
  } catch (cause) {
    error = cause
  }
  expect(hasCode(error, 'E_DISASTER_REFUSED') && error.detail.problem).toMatch(problem)
  expect(imageOf(storage)).toBe(before)
})

test('a directory in use, and one that changed since, are refused', () => {
  const storage = survivorDir()
  const plan = planOf(storage)
  storage.tryLock(`${DIR}/lock`)
  expect(() => carryOut(storage, plan, 'ops')).toThrow('in use by')
  storage.unlock(`${DIR}/lock`)
  carryOut(storage, plan, 'ops')
  expect(() => carryOut(storage, plan, 'ops')).toThrow('changed while')
  expect(found(storage).last).toBe(12)
})

test('damage is refused as at any start', () => {
  const storage = survivorDir()
  const [segment] = (storage.list(DIR) ?? []).filter((name) => name.startsWith('wal-')).sort()
  storage.poke(`${DIR}/${segment!}`, 4_096 + 700, Uint8Array.of(1, 2, 3))
  expect(() => surveyDir(storage, DIR)).toThrow('E_WAL_CORRUPT')
})

// ---- All or nothing ----------------------------------------------------------------------------

class PowerLoss extends Error {}

/** Runs the command until power fails before its n-th operation on the disk; false: it did not. */
function losePowerAt(storage: MemoryStorage, plan: DisasterPlan, at: number): boolean {
  let left = at
  storage.onOperation = (operation: Operation) => {
    if (left-- === 0) throw new PowerLoss(operation)
  }
  try {
    carryOut(storage, plan, 'ops')
    return false
  } catch (error) {
    if (!(error instanceof PowerLoss)) throw error
    return true
  } finally {
    storage.onOperation = null
  }
}

test.each(['power loss', 'kill'] as const)('%s at every write: the old state or the new', (how) => {
  const states = new Set<string>()
  let steps = 0
  for (let isDone = false; !isDone; steps++) {
    for (let seed = 1; seed <= 8; seed++) {
      const storage = survivorDir(({ put }) => put((first) => frameOf(BALLOT, first, 1, 50, true)))
      const before = surveyDir(storage, DIR).log
      isDone = !losePowerAt(storage, planOf(storage), steps)
      if (how === 'kill') storage.kill()
      else storage.crash(randomOf(seed))
      const { last, promised, acceptedBallot, members } = found(storage)
      const isNew = members.length > 0
      states.add(isNew ? 'new' : 'old')
      if (isNew) {
        expect([last, members[0]!.historyEpoch]).toEqual([14, 65_537])
        expect(promised).toBe(acceptedBallot)
      } else {
        expect([last, promised, acceptedBallot]).toEqual([
          11,
          before.promised,
          before.acceptedBallot,
        ])
        expect(isDone).toBe(false)
        carryOut(storage, planOf(storage), 'once more')
        expect(found(storage).last).toBe(14)
      }
      if (how === 'kill') break
    }
  }
  expect(steps).toBeGreaterThan(5)
  expect([...states].sort()).toEqual(['new', 'old'])
})

// ---- What the core makes of it -----------------------------------------------------------------

test('the core leads alone, with everything, and answers to nobody of the old history', () => {
  const storage = survivorDir()
  carryOut(storage, planOf(storage), 'ops')
  const { recovered, members } = found(storage)
  const configs = recovered.configs.map(({ index }, i) => ({ index, membership: members[i]! }))
  const core = createXPaxos(
    {
      ...{ self: nodeId(1), members: THREE, heartbeatMs: 20, electionTimeoutMs: 100 },
      ...{ windowBytes: 2 ** 16, batchBytesMax: 4_096, batchEntriesMax: 100, pipelineDepth: 8 },
      catchUpBytesMax: 4_096,
      ...{ seed: 1, requestBase: 1, leaseMs: 0, driftPerMille: 0 },
    },
    { ...recovered, firstRetained: 1 as LogIndex, configs },
  )
  const effects: Parameters<typeof core.step>[1] = []
  for (let now = 10; now < 1_000; now += 10) {
    core.step({ kind: 'tick', now }, effects)
    const lsn = effects.findLast((effect) => effect.kind === 'append')?.lsn
    if (lsn !== undefined) core.step({ kind: 'durable', lsn }, effects)
  }
  expect([core.view.role, core.view.chosen, core.view.last]).toEqual(['leader', 12, 12])
  expect(core.view.promised).toBeGreaterThan(ballotOf(5, nodeId(1)))
  const higher = ballotOf(99, nodeId(2))
  effects.length = 0
  core.step(
    { kind: 'message', from: nodeId(2), message: { kind: 'prepare', ballot: higher }, frames: [] },
    effects,
  )
  expect(effects.map((effect) => effect.kind === 'send' && effect.message.kind)).toEqual([
    'removed',
  ])
  expect(core.view.role).toBe('leader')
})
