/**
 * Operating errors: expected, named, handled. Bugs are assertions instead (assert.ts).
 * Structured clone keeps message and stack but drops class, name, code and detail, so an error
 * that must cross a thread or a process is sent as an `ErrorRecord`.
 *
 * `outcome` says what became of a proposal: `not-proposed` means that it has no effect and never
 * will: it never entered the log, or, in a session, the log itself refused it; `unknown` means that
 * it may or may not be chosen. There is no third failure.
 */
export type Outcome = 'not-proposed' | 'unknown'

export interface ErrorDetails {
  E_CONFIG_INVALID: { readonly problems: readonly string[] }
  E_NOT_AVAILABLE: { readonly feature: string }
  E_NOT_LEADER: { readonly leader: number }
  E_LEADERSHIP_LOST: { readonly leader: number }
  /** Leadership is being handed over: try again there, or here if it fails. */
  E_TRANSFERRING: { readonly reason: string }
  /** A strict Logger's log has reached its bound while a voter is away: bring that one back. */
  E_LOG_FULL: { readonly reason: string }
  /** `reason` is a ChangeOutcome of core/engine.ts, `problem` says it for people. */
  E_CHANGE_REFUSED: { readonly reason: string; readonly problem: string }
  /** `reason` is a TransferOutcome of core/engine.ts. */
  E_TRANSFER_FAILED: { readonly reason: string }
  E_OVERLOADED: { readonly limitBytes: number }
  E_ABORTED: { readonly reason: string }
  E_PAYLOAD_SIZE: { readonly sizeBytes: number; readonly maxBytes: number }
  E_GROUP_SIZE: {
    readonly sizeBytes: number
    readonly maxBytes: number
    readonly entries: number
    readonly entriesMax: number
  }
  /** Never opened, closed or expired; an earlier attempt may have had its effect all the same. */
  E_SESSION_UNKNOWN: { readonly session: number }
  /** One before it is missing; the log takes `next`. */
  E_OUT_OF_ORDER: { readonly sequence: number; readonly next: number }
  /** A retry that came too late for its answer. */
  E_ANSWER_EXPIRED: { readonly sequence: number; readonly executed: 'yes' | 'unknown' }
  /** `outcome` has said `never` of this sequence; new ones start at `next`. */
  E_SESSION_FENCED: { readonly sequence: number; readonly next: number }
  /** No index could be had: `no-leader`, `late`, `too-stale`, `overloaded`. */
  E_READ_REFUSED: { readonly reason: string }
  E_READ_TIMEOUT: { readonly timeoutMs: number }
  /** `from` was asked for; `first` is the lowest index that the node still has. */
  E_COMPACTED: { readonly from: number; readonly first: number }
  E_TOKEN: { readonly problem: string }
  /** Of the key-value service: the request breaks its limits; nothing was proposed. */
  E_REQUEST_INVALID: { readonly problems: readonly string[] }
  /** The store is at a limit; reads and deletes go on. */
  E_STORE_FULL: { readonly reason: string }
  /** Of an increment: the key holds no 64-bit decimal integer, or the sum is none. */
  E_NOT_A_NUMBER: { readonly reason: 'not-a-number' | 'overflow' }
  E_QUERY_FAILED: { readonly reason: string }
  E_CLOSED: { readonly what: string }
  E_HISTORY_INVALID: { readonly line: number; readonly field: string; readonly problem: string }
  E_FRAME_INVALID: { readonly field: string; readonly problem: string }
  E_DATA_DIR: { readonly problem: string }
  /** A disaster command cannot be right for this directory; nothing was written. */
  E_DISASTER_REFUSED: { readonly problem: string }
  E_WAL_CORRUPT: { readonly segment: string; readonly offsetBytes: number }
  E_DISK: { readonly syscall: string; readonly errno: string }
  E_LISTEN: { readonly port: number; readonly errno: string }
  E_STAGE_FAILED: { readonly stage: string; readonly reason: string }
  E_STATE_MACHINE: { readonly reason: string }
}
export type ErrorCode = keyof ErrorDetails

export class ReplicaError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'ReplicaError'
  readonly code: Code
  readonly detail: ErrorDetails[Code]
  readonly outcome: Outcome

  constructor(
    code: Code,
    message: string,
    detail: ErrorDetails[Code],
    outcome: Outcome = 'not-proposed',
    options?: ErrorOptions,
  ) {
    super(`${code}: ${message}`, options)
    this.code = code
    this.detail = detail
    this.outcome = outcome
  }
}

/** `instanceof` that keeps the type of the code and the detail. */
export const isReplicaError = (error: unknown): error is ReplicaError =>
  error instanceof ReplicaError

export interface ErrorRecord {
  readonly code: ErrorCode
  readonly message: string
  readonly detail: ErrorDetails[ErrorCode]
  readonly outcome: Outcome
}

export const toRecord = ({ code, message, detail, outcome }: ReplicaError): ErrorRecord => ({
  code,
  message,
  detail,
  outcome,
})

export function fromRecord({ code, message, detail, outcome }: ErrorRecord): ReplicaError {
  return new ReplicaError(code, message.replace(`${code}: `, ''), detail, outcome)
}

export function hasCode<C extends ErrorCode>(error: unknown, code: C): error is ReplicaError<C> {
  return error instanceof ReplicaError && error.code === code
}
