/**
 * What a call of the client fails with. `outcome` says what became of a write: not-proposed has no
 * effect and never will; unknown may have one, now or later. Nothing else is claimed.
 */
import type { Outcome } from '../base/errors.ts'

/**
 * Codes are those of the server (docs/api.md), and three of the client's own: E_UNREACHABLE: no
 * endpoint could be reached; E_TIMEOUT; E_ABORTED: the signal came.
 */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly code: string
  readonly outcome: Outcome
  /** Of the server; null: it was not asked, or did not answer. */
  readonly status: number | null
  readonly detail: unknown

  constructor(
    code: string,
    message: string,
    outcome: Outcome,
    given: { readonly status?: number; readonly detail?: unknown; readonly cause?: unknown } = {},
  ) {
    super(`${code}: ${message}`, given.cause === undefined ? undefined : { cause: given.cause })
    this.code = code
    this.outcome = outcome
    this.status = given.status ?? null
    this.detail = given.detail
  }
}
