/**
 * The key-value service: typed operations over a node or a cluster of this process whose state
 * machine is `kv` (src/state-machines/key-value.ts). All gateways share one service. Caller's
 * thread.
 *
 * Invariants: nothing is retried; what fails has the engine's error, and its `outcome` says whether
 * it may still take effect; time moves by ticks in the log, proposed here while there are keys with
 * a time to live and the node leads.
 */
import { assert, unreachable } from '../base/assert.ts'
import { ReplicaError, hasCode } from '../base/errors.ts'
import { notLeader } from '../engine/client.ts'
import type {
  Consistency,
  LocalCluster,
  Proposed,
  ReadOptions,
  ReplicaNode,
  SessionToken,
} from '../engine/index.ts'
import {
  decodeAnswer,
  decodeAnswers,
  decodeStatus,
  decodeTxnAnswer,
} from '../state-machines/key-value-answers.ts'
import { encodeCommand, encodeQuestion } from '../state-machines/key-value-codec.ts'
import type {
  CasCommand,
  DeleteRangeCommand,
  GetCommand,
  IncrCommand,
  KeyValue,
  KvAnswer,
  KvOperation,
  KvQuestion,
  KvStatus,
  PutCommand,
  RangeCommand,
  TxnAnswer,
  TxnCommand,
} from '../state-machines/key-value-commands.ts'
import { startClock } from './kv-clock.ts'
import { OTHER_VERSION, checkQuestion, checkRequest, checkSize, invalid } from './kv-limits.ts'

/** Of a write: it is chosen, durable at a quorum, and executed at the node that was asked. */
export interface Written {
  /** Log index of the entry: the revision of what it wrote. */
  readonly revision: number
  /** For reads with `consistency: 'session'`, here or at another node: they see this write. */
  readonly token: SessionToken
}

/** Of a read. */
export interface Seen {
  readonly token: SessionToken
}

export interface WriteOptions {
  /** Ends the waiting, not the write: E_ABORTED with outcome `unknown`. */
  readonly signal?: AbortSignal
}

/** `consistency` (default linearizable), `token`, `maxStalenessMs`, `signal`, `timeoutMs`. */
export type KvReadOptions = ReadOptions
export type { Consistency }

type Rest<Command> = Omit<Command, 'kind' | 'key' | 'nowMs'>

export interface KvService {
  /** Node that leads as far as is known here; 0: nobody. */
  readonly leader: number
  /** Whether writes are taken here. */
  readonly leads: boolean
  /** The node that is asked now: of a cluster the leader, else the first one. */
  readonly node: ReplicaNode

  put(
    key: Uint8Array,
    value: Uint8Array,
    options?: Partial<Omit<Rest<PutCommand>, 'value'>> & WriteOptions,
  ): Promise<Written & { readonly done: boolean; readonly previous?: KeyValue | null }>
  get(
    key: Uint8Array,
    options?: Partial<Rest<GetCommand>> & KvReadOptions,
  ): Promise<Seen & { readonly entry: KeyValue | null }>
  /** Several keys as they are at one index, in order of `keys`, at most OPERATIONS_MAX. */
  getMany(
    keys: readonly Uint8Array[],
    options?: Partial<Rest<GetCommand>> & KvReadOptions,
  ): Promise<Seen & { readonly entries: readonly (KeyValue | null)[] }>
  /** `done`: the key was there. */
  delete(key: Uint8Array, options?: WriteOptions): Promise<Written & { readonly done: boolean }>
  deleteRange(
    range: Omit<DeleteRangeCommand, 'kind'>,
    options?: WriteOptions,
  ): Promise<Written & { readonly count: number }>
  cas(
    key: Uint8Array,
    change: Rest<CasCommand>,
    options?: WriteOptions,
  ): Promise<Written & { readonly done: boolean }>
  txn(txn: Omit<TxnCommand, 'kind'>, options?: WriteOptions): Promise<Written & TxnAnswer>
  /** `more`: go on with the last key and a zero byte as `from`. */
  range(
    range: Omit<RangeCommand, 'kind'>,
    options?: KvReadOptions,
  ): Promise<Seen & { readonly entries: readonly KeyValue[]; readonly more: boolean }>
  /** @throws ReplicaError E_NOT_A_NUMBER also when the sum has more than 64 bits */
  incr(
    key: Uint8Array,
    delta?: IncrCommand['delta'],
    options?: WriteOptions,
  ): Promise<Written & { readonly value: bigint }>
  /** Null: the key stays. `done`: the key is there. */
  expire(
    key: Uint8Array,
    ttlMs: number | null,
    options?: WriteOptions,
  ): Promise<Written & { readonly done: boolean }>
  /** Null: no such key; `ttlMs` null: it stays. */
  ttl(
    key: Uint8Array,
    options?: KvReadOptions,
  ): Promise<Seen & { readonly entry: { readonly ttlMs: number | null } | null }>
  status(options?: KvReadOptions): Promise<Seen & KvStatus>

  /**
   * Any command; calls of one turn of the event loop enter the log in the order of the calls, and
   * share a batch.
   * @throws ReplicaError E_REQUEST_INVALID: it breaks a limit, nothing was proposed; E_NOT_LEADER
   *   (`detail.leader` says who leads, 0: unknown), E_OVERLOADED, E_TRANSFERRING, E_PAYLOAD_SIZE,
   *   E_LOG_FULL: not proposed; E_LEADERSHIP_LOST, E_ABORTED, E_CLOSED: see `outcome`
   */
  execute<Command extends KvOperation | TxnCommand>(
    command: Command,
    options?: WriteOptions,
  ): Promise<Written & { readonly answer: AnswerOf<Command> }>
  /** @throws ReplicaError as `node.read`, E_REQUEST_INVALID */
  ask(
    question: Exclude<KvQuestion, { readonly kind: 'status' }>,
    options?: KvReadOptions,
  ): Promise<Seen & { readonly answers: readonly KvAnswer[] }>

  /** Ends the ticks; the node or cluster is its owner's. */
  close(): void
}

export type AnswerOf<Command> = Command extends TxnCommand ? TxnAnswer : KvAnswer

export interface KvServiceOptions {
  /** How often the clock of the log moves while keys have a time to live. Default 100. */
  readonly tickMs?: number
}

/** What a service stands on: of a cluster, its leader. */
export type KvTarget = ReplicaNode | LocalCluster

export function openKvService(target: KvTarget, options: KvServiceOptions = {}): KvService {
  const nodeOf = createNodeChoice(target)
  const clock = startClock(nodeOf, options.tickMs ?? TICK_MS)

  const execute: KvService['execute'] = async (command, { signal } = {}) => {
    checkRequest(command)
    const timed = clock.stamp(command)
    const bytes = encodeCommand(timed)
    checkSize(bytes)
    const node = nodeOf()
    const { index, result, token } = await proposeAt(node, bytes, signal)
    const answer = answerOf(timed, result ?? NO_ANSWER)
    return { revision: index, token, answer: answer as AnswerOf<typeof command> }
  }
  const ask: KvService['ask'] = async (question, read) => {
    checkQuestion(question)
    const { result, token } = await nodeOf().read(encodeQuestion(question), read)
    const answers = decodeAnswers(question, result)
    if (answers === null) throw invalid(OTHER_VERSION)
    return { answers, token }
  }
  /** An operation whose refusal is an error. */
  const write = async <Kind extends KvOperation['kind']>(
    operation: KvOperation & { readonly kind: Kind },
    options: WriteOptions | undefined,
  ): Promise<Written & TakenOf<Kind>> => {
    const { answer, ...written } = await execute<KvOperation>(operation, options)
    return { ...written, ...takenOf<Kind>(operation.kind, answer) }
  }
  const entriesOf = (answers: readonly KvAnswer[]): (KeyValue | null)[] =>
    answers.map((answer) => takenOf('get', answer).entry)

  return {
    get leader() {
      const node = nodeOf()
      return node.leads ? node.id : node.status().leader
    },
    get leads() {
      return nodeOf().leads
    },
    get node() {
      return nodeOf()
    },
    put: (key, value, options = {}) => {
      const { signal, ...rest } = options
      return write({ kind: 'put', key, value, ...rest }, signal && { signal })
    },
    async get(key, options = {}) {
      const { keysOnly, ...read } = options
      const { answers, token } = await ask(getOf(key, keysOnly), read)
      return { entry: entriesOf(answers)[0]!, token }
    },
    async getMany(keys, options = {}) {
      const { keysOnly, ...read } = options
      const of = keys.map((key) => getOf(key, keysOnly))
      const { answers, token } = await ask({ kind: 'many', of }, read)
      return { entries: entriesOf(answers), token }
    },
    delete: (key, options) => write({ kind: 'delete', key }, options),
    deleteRange: (range, options) => write({ kind: 'delete-range', ...range }, options),
    cas: (key, change, options) => write({ kind: 'cas', key, ...change }, options),
    async txn(txn, options) {
      const { answer, ...written } = await execute({ kind: 'txn', ...txn }, options)
      return { ...written, ...answer }
    },
    async range(range, read) {
      const { answers, token } = await ask({ kind: 'range', ...range }, read)
      const { entries, more } = takenOf('range', answers[0]!)
      return { entries, more, token }
    },
    incr: (key, delta = 1n, options) => write({ kind: 'incr', key, delta }, options),
    expire: (key, ttlMs, options) => write({ kind: 'expire', key, ttlMs }, options),
    async ttl(key, read) {
      const { answers, token } = await ask(getOf(key, true), read)
      const [entry] = entriesOf(answers)
      return { entry: entry ? { ttlMs: entry.ttlMs } : null, token }
    },
    async status(read) {
      const { result, token } = await nodeOf().read(encodeQuestion({ kind: 'status' }), read)
      const status = decodeStatus(result)
      if (status === null) throw invalid(OTHER_VERSION)
      return { ...status, token }
    },
    execute,
    ask,
    close: () => clock.close(),
  }
}

const TICK_MS = 100
const NO_ANSWER = new Uint8Array(0)

const getOf = (key: Uint8Array, keysOnly: boolean | undefined): GetCommand => ({
  ...{ kind: 'get', key },
  ...(keysOnly === true && { keysOnly }),
})

/** As `node.propose`; but who never took writes has it from its status alone who does. */
async function proposeAt(
  node: ReplicaNode,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Proposed> {
  try {
    return await node.propose(bytes, signal && { signal })
  } catch (error) {
    throw hasCode(error, 'E_NOT_LEADER') ? notLeader(node.status().leader) : error
  }
}

/** The node that leads; while none does, the one that did last. */
function createNodeChoice(target: KvTarget): () => ReplicaNode {
  if (!('nodes' in target)) return () => target
  let last = target.nodes[0]!
  return () => {
    if (!last.leads) last = target.nodes.find((node) => node.leads) ?? last
    return last
  }
}

function answerOf(command: KvOperation | TxnCommand, result: Uint8Array): KvAnswer | TxnAnswer {
  if (command.kind !== 'txn') return decodeAnswer(command, result)
  const answer = decodeTxnAnswer(command, result)
  if (answer === null) throw invalid(OTHER_VERSION)
  return answer
}

type TakenOf<Kind extends KvOperation['kind']> = Extract<KvAnswer, { readonly kind: Kind }>

/** @throws ReplicaError when the store refused it: it had no effect */
function takenOf<Kind extends KvOperation['kind']>(kind: Kind, answer: KvAnswer): TakenOf<Kind> {
  if (answer.kind !== 'refused') {
    assert(answer.kind === kind, 'an answer is that of its operation')
    return answer as TakenOf<Kind>
  }
  const { reason } = answer
  switch (reason) {
    case 'malformed':
      throw invalid(OTHER_VERSION)
    case 'answer-size':
      throw invalid('the answer is beyond 1.75 MiB: ask for fewer keys at once')
    case 'full':
      throw new ReplicaError('E_STORE_FULL', 'delete something first', { reason })
    case 'not-a-number':
      throw new ReplicaError('E_NOT_A_NUMBER', 'the key holds no 64-bit integer', { reason })
    case 'overflow':
      throw new ReplicaError('E_NOT_A_NUMBER', 'the sum has more than 64 bits', { reason })
    default:
      return unreachable(reason)
  }
}
