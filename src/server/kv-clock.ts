/**
 * The clock of the log, as the node that leads moves it: ticks in the log while keys have a time to
 * live. Caller's thread.
 *
 *     state clock ........C                  read when leadership begins; stands still while no key
 *     here                C + time since     has a time to live, else runs on by this node's clock
 *
 * Invariant: no key ends before its time has passed since the node took the command that set it,
 * whoever leads meanwhile. A change of leader, and a node that is late, make it longer. Wall clocks
 * play no part, so nobody's matters.
 */
import type { ReplicaNode } from '../engine/index.ts'
import { decodeStatus, decodeTickAnswer } from '../state-machines/key-value-answers.ts'
import { encodeCommand, encodeQuestion } from '../state-machines/key-value-codec.ts'
import type { KvOperation, TxnCommand } from '../state-machines/key-value-commands.ts'

export interface LogClock {
  /** Puts the time into a command that sets a time to live: it counts from now. */
  stamp(command: KvOperation | TxnCommand): KvOperation | TxnCommand
  close(): void
}

/** How often a clock that stands looks for keys that somebody else gave a time to live. */
const LOOK_MS = 1_000
const STATUS = encodeQuestion({ kind: 'status' })

interface Reign {
  readonly node: ReplicaNode
  readonly ballot: number
  /** Time of the clock at `atMs`, or for good while it stands. */
  clockMs: number
  atMs: number
  runs: boolean
  /** A time to live was set since the last tick was proposed. */
  isWanted: boolean
  isBusy: boolean
  lookAtMs: number
}

const nowMs = (): number => performance.now()

export function startClock(nodeOf: () => ReplicaNode, tickMs: number): LogClock {
  let reign: Reign | null = null
  /** A time to live was set before the clock was known. */
  let isOwed = false
  let isClosed = false
  let isBeginning = false

  const timeOf = ({ clockMs, atMs, runs }: Reign): number =>
    runs ? clockMs + Math.floor(nowMs() - atMs) : clockMs

  const start = (one: Reign): void => {
    if (one.runs) return
    one.runs = true
    one.atMs = nowMs()
  }
  const stand = (one: Reign): void => {
    one.clockMs = timeOf(one)
    one.runs = false
  }
  const setting = (): number => {
    if (reign === null) {
      isOwed = true
      return 0
    }
    start(reign)
    reign.isWanted = true
    return timeOf(reign)
  }
  const begin = async (node: ReplicaNode, ballot: number): Promise<void> => {
    isBeginning = true
    try {
      const status = decodeStatus((await node.read(STATUS)).result)
      if (status === null) return
      const at = { clockMs: status.clockMs, atMs: nowMs(), lookAtMs: nowMs() + LOOK_MS }
      reign = { node, ballot, ...at, runs: status.leased > 0, isWanted: false, isBusy: false }
      if (isOwed) void setting()
      isOwed = false
    } catch {
      // Asked again at the next turn, by whoever leads then.
    } finally {
      isBeginning = false
    }
  }
  const tick = async (one: Reign): Promise<void> => {
    one.isBusy = true
    one.isWanted = false
    try {
      const bytes = encodeCommand({ kind: 'tick', nowMs: timeOf(one) })
      const answer = decodeTickAnswer((await one.node.propose(bytes)).result ?? new Uint8Array(0))
      one.isBusy = false
      if (answer === null || one !== reign || isClosed) return
      if (answer.more) void tick(one)
      else if (answer.leased === 0 && !one.isWanted) stand(one)
    } catch {
      one.isBusy = false // an old time does no harm, whether it was chosen or not
    }
  }
  const look = async (one: Reign): Promise<void> => {
    one.isBusy = true
    one.lookAtMs = nowMs() + LOOK_MS
    try {
      const read = await one.node.read(STATUS, { consistency: 'stale', maxStalenessMs: 60_000 })
      if ((decodeStatus(read.result)?.leased ?? 0) > 0) start(one)
    } catch {
      // Looked for again.
    } finally {
      one.isBusy = false
    }
  }
  const turn = (): void => {
    const node = nodeOf()
    const ballot = node.leads ? node.status().promised : 0
    if (reign !== null && (reign.node !== node || reign.ballot !== ballot)) reign = null
    if (ballot === 0) return
    if (reign === null) {
      if (!isBeginning) void begin(node, ballot)
    } else if (!reign.isBusy) {
      if (reign.runs) void tick(reign)
      else if (nowMs() >= reign.lookAtMs) void look(reign)
    }
  }
  const timer = setInterval(turn, tickMs)
  timer.unref()
  turn()
  return {
    stamp: (command) => stamped(command, setting),
    close() {
      isClosed = true
      clearInterval(timer)
    },
  }
}

function stamped(
  command: KvOperation | TxnCommand,
  setting: () => number,
): KvOperation | TxnCommand {
  if (command.kind !== 'txn') return stampedOne(command, setting)
  const [then, otherwise] = [command.then, command.else].map((part) =>
    part.map((one) => stampedOne(one, setting)),
  )
  return { ...command, then: then!, else: otherwise! }
}

function stampedOne(one: KvOperation, setting: () => number): KvOperation {
  const isSetting =
    (one.kind === 'put' && one.ttlMs !== undefined) || (one.kind === 'expire' && one.ttlMs !== null)
  return isSetting ? { ...one, nowMs: setting() } : one
}
