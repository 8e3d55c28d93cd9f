/**
 * The key-value service: typed operations over a node or a cluster of this process whose state
 * machine is `kv` (src/state-machines/key-value.ts). All gateways share one service. Caller's
 * thread.
 *
 * Invariants: nothing is retried; what fails has the engine's error, and its `outcome` says whether
 * it may still take effect; time moves by ticks in the log, proposed here while there are keys with
 * a time to live and the node leads.
 */
import type {
  Consistency,
  LocalCluster,
  ReadOptions,
  ReplicaNode,
  SessionToken,
} from '../engine/index.ts'
import type {
  CasCommand,
  DeleteRangeCommand,
  GetCommand,
  IncrCommand,
  KeyValue,
  KvAnswer,
  KvCommand,
  KvQuestion,
  KvStatus,
  PutCommand,
  RangeCommand,
  TxnAnswer,
  TxnCommand,
} from '../state-machines/key-value-commands.ts'

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
  execute<Command extends KvCommand>(
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

export type AnswerOf<Command extends KvCommand> = Command extends TxnCommand ? TxnAnswer : KvAnswer

export interface KvServiceOptions {
  /** How often the clock of the log moves while keys have a time to live. Default 100. */
  readonly tickMs?: number
}

/** What a service stands on. */
export type KvTarget = ReplicaNode | LocalCluster
