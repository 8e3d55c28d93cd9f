/**
 * Commands and questions of the key-value store as values, and what they become in the log. The
 * bytes are in key-value-codec.ts, what the store answers in key-value-answers.ts. Pure.
 */

/** Of a key, in bytes. */
export const KEY_SIZE_MAX_BYTES = 4_096
/** Of a value and of a whole command, in bytes; a node takes it if its batches do. */
export const REQUEST_SIZE_MAX_BYTES = 1_536 * 1_024
/** Operations of one transaction, both branches, and guards. */
export const OPERATIONS_MAX = 1_024
/** Of a time to live: about 139 years. */
export const TTL_MAX_MS = 2 ** 42

export interface PutCommand {
  readonly kind: 'put'
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** The key is gone so long after it was put, 1 to TTL_MAX_MS; default: it stays. */
  readonly ttlMs?: number
  /** The clock of the log as the proposer knows it (the service fills it in); default 0. */
  readonly nowMs?: number
  /** Keeps the time to live that the key has. Not with `ttlMs`. */
  readonly keepTtl?: boolean
  /** Does nothing unless the key is absent, or present. */
  readonly only?: 'absent' | 'present'
  /** Answers what the key held before. */
  readonly previous?: boolean
}

export interface GetCommand {
  readonly kind: 'get'
  readonly key: Uint8Array
  /** Leaves the value out of the answer. */
  readonly keysOnly?: boolean
}

export interface DeleteCommand {
  readonly kind: 'delete'
  readonly key: Uint8Array
}

/** Puts `value` if the key holds `expected`; an absent key holds nothing. Ends a time to live. */
export interface CasCommand {
  readonly kind: 'cas'
  readonly key: Uint8Array
  readonly expected: Uint8Array
  readonly value: Uint8Array
}

/** Keys in order of their bytes, from `from` up to `to`, which is not in it; null: to the end. */
export interface RangeCommand {
  readonly kind: 'range'
  readonly from: Uint8Array
  readonly to: Uint8Array | null
  /** 1 to RANGE_KEYS_MAX, the default. An answer also ends at about 1 MiB: see `more`. */
  readonly limit?: number
  readonly keysOnly?: boolean
}

export const RANGE_KEYS_MAX = 10_000

export interface DeleteRangeCommand {
  readonly kind: 'delete-range'
  readonly from: Uint8Array
  readonly to: Uint8Array | null
}

/** The value is a decimal integer of 64 bits, or absent (0). Keeps a time to live. */
export interface IncrCommand {
  readonly kind: 'incr'
  readonly key: Uint8Array
  readonly delta: bigint
}

/** Sets the time to live of a key that is there, or ends it (null). No new revision. */
export interface ExpireCommand {
  readonly kind: 'expire'
  readonly key: Uint8Array
  readonly ttlMs: number | null
  /** As for put. */
  readonly nowMs?: number
}

export type KvOperation =
  | PutCommand
  | GetCommand
  | DeleteCommand
  | CasCommand
  | RangeCommand
  | DeleteRangeCommand
  | IncrCommand
  | ExpireCommand

/**
 * What must hold of a key. `version` counts its puts since it was created, the revisions are the
 * log indexes of the entries that created and last changed it; all are 0 of an absent key. A
 * comparison of the value of an absent key never holds.
 */
export type KvGuard =
  | {
      readonly key: Uint8Array
      readonly field: 'version' | 'mod' | 'create'
      readonly is: Comparison
      readonly value: number
    }
  | {
      readonly key: Uint8Array
      readonly field: 'value'
      readonly is: Comparison
      readonly value: Uint8Array
    }

export type Comparison = 'equal' | 'not-equal' | 'less' | 'greater'

/** If all guards hold, `then` is done, else `else`: in order, each seeing what those before did. */
export interface TxnCommand {
  readonly kind: 'txn'
  readonly guards: readonly KvGuard[]
  readonly then: readonly KvOperation[]
  readonly else: readonly KvOperation[]
}

/** Moves the clock of the log, never back, and removes keys whose time is over. */
export interface TickCommand {
  readonly kind: 'tick'
  readonly nowMs: number
}

export type KvCommand = KvOperation | TxnCommand | TickCommand

/** Reads, several of them at one index, and what the store says of itself. */
export type KvQuestion =
  | GetCommand
  | RangeCommand
  | { readonly kind: 'many'; readonly of: readonly (GetCommand | RangeCommand)[] }
  | { readonly kind: 'status' }

/** A key and what it holds. */
export interface KeyValue {
  readonly key: Uint8Array
  /** Null: `keysOnly` was asked. */
  readonly value: Uint8Array | null
  /** Log index of the entry that created it: the fencing token of a lock. */
  readonly createRevision: number
  /** Log index of the entry that last put it. */
  readonly modRevision: number
  /** Puts since it was created, from 1. */
  readonly version: number
  /** What is left of its time to live, by the clock of the log; null: it stays. */
  readonly ttlMs: number | null
}

/** What came of an operation; `kind` is that of the operation. */
export type KvAnswer =
  | {
      readonly kind: 'put'
      readonly done: boolean
      /** Of a put with `previous`; null: the key was absent; left out: it has no room. */
      readonly previous?: KeyValue | null
    }
  | { readonly kind: 'get'; readonly entry: KeyValue | null }
  | { readonly kind: 'delete'; readonly done: boolean }
  | { readonly kind: 'cas'; readonly done: boolean }
  | { readonly kind: 'expire'; readonly done: boolean }
  | { readonly kind: 'range'; readonly entries: readonly KeyValue[]; readonly more: boolean }
  | { readonly kind: 'delete-range'; readonly count: number }
  | { readonly kind: 'incr'; readonly value: bigint }
  /** It had no effect, and never will. */
  | { readonly kind: 'refused'; readonly reason: KvRefusal }

/**
 * `malformed`: no command that this version knows, or beyond a limit; `answer-size`: its answer had
 * no room beside those before it (reads only); `not-a-number`, `overflow`: of incr; `full`: the
 * store is at a limit, until something is deleted.
 */
export type KvRefusal = 'malformed' | 'answer-size' | 'not-a-number' | 'overflow' | 'full'

export interface TxnAnswer {
  /** Whether the guards held: `answers` are those of `then`, else of `else`. */
  readonly succeeded: boolean
  readonly answers: readonly KvAnswer[]
}

export interface TickAnswer {
  /** What it removed. */
  readonly expired: readonly Uint8Array[]
  /** More was due than one tick removes: the next one goes on. */
  readonly more: boolean
  /** Keys with a time to live that are left. */
  readonly leased: number
}

export interface KvStatus {
  readonly keys: number
  /** Keys with a time to live. */
  readonly leased: number
  /** Clock of the log. */
  readonly clockMs: number
  /** Bytes of keys and values. */
  readonly sizeBytes: number
}
