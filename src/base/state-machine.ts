/**
 * The interface that a user's state machine implements. Every method runs in the apply thread (or
 * in the caller's thread by choice), one call at a time, in log order.
 */

/** Consecutive entries of the log, valid only during the call of `apply` that received it. */
export interface ApplyBatch {
  /** Log index of the first entry. */
  readonly first: number
  /** How many entries; entry i has the log index `first + i`. */
  readonly count: number
  /** Bytes of entry i: a view that is valid only during this call. Copy what you keep. */
  payload(i: number): Uint8Array
  /**
   * The walk that makes no object an entry: each `next()` moves on by one entry and is false behind
   * the last; then the entry is `bytes[offset .. offset + size)`. Starts before entry 0.
   */
  next(): boolean
  readonly bytes: Uint8Array
  readonly offset: number
  readonly size: number
  /**
   * Where the entries lie, for a loop of one's own that keeps its place in registers: from byte
   * `body` of `bytes` to byte `end`, each `lead` bytes of the log's own, a 32-bit length and the
   * payload padded to 4. `words` are the same bytes as 32-bit words.
   */
  readonly words: Int32Array
  readonly body: number
  readonly end: number
  readonly lead: number
  /**
   * Answers the proposer of entry i; the bytes are copied. Without it the result is null.
   * @throws RangeError beyond 2 MiB
   */
  reply(i: number, bytes: Uint8Array): void
}

/** Where a snapshot goes, in chunks; used from the storage issue on. */
export interface SnapshotSink {
  write(chunk: Uint8Array): void
}
export interface SnapshotSource {
  read(): Uint8Array | null
}

/**
 * Deterministic: the state is a function of the entries alone, never of the clock, of chance or of
 * the machine. A throw stops the node.
 */
export interface StateMachine {
  apply(batch: ApplyBatch): void
  /**
   * Answers a read; must change nothing. A throw fails that read alone. Without it only
   * `node.sync()` can be awaited. An answer has at most 2 MiB.
   */
  query?(question: Uint8Array): Uint8Array
  snapshot(sink: SnapshotSink): Promise<void>
  restore(source: SnapshotSource): Promise<void>
  /** Short text that is equal on two nodes exactly when their states are equal. */
  hash?(): string
}
