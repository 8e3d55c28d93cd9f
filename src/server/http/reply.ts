/** Replies of the HTTP side: JSON, and errors as one shape (docs/api.md). Pure. */
import { type ErrorCode, type Outcome, isReplicaError } from '../../base/errors.ts'
import type { HttpReply } from './adapter.ts'

/** What only the HTTP side says; nothing was proposed when it does. */
export type HttpCode =
  | 'E_UNAUTHENTICATED'
  | 'E_FORBIDDEN'
  | 'E_NOT_FOUND'
  | 'E_METHOD'
  | 'E_CONTENT_TYPE'
  | 'E_ORIGIN'
  | 'E_HOST'
  | 'E_RATE_LIMITED'
  | 'E_INTERNAL'

export interface ErrorBody {
  readonly code: ErrorCode | HttpCode
  readonly message: string
  readonly outcome: Outcome
  readonly detail?: unknown
}

export const jsonReply = (
  body: unknown,
  status = 200,
  headers?: HttpReply['headers'],
): HttpReply => ({
  status,
  type: 'application/json',
  body: JSON.stringify(body),
  ...(headers && { headers }),
})

export const errorReply = (body: ErrorBody, headers?: HttpReply['headers']): HttpReply =>
  jsonReply(body, STATUS.get(body.code) ?? 500, headers)

export const refusal = (code: HttpCode, message: string): HttpReply =>
  errorReply({ code, message, outcome: 'not-proposed' })

/** Errors of requests and of the engine have a code; else it is a bug, and its text stays here. */
export function errorBodyOf(error: unknown): ErrorBody {
  if (isReplicaError(error)) {
    const { code, detail, outcome } = error
    return { code, message: error.message.replace(`${code}: `, ''), outcome, detail }
  }
  return { code: 'E_INTERNAL', message: 'an error of this server', outcome: 'unknown' }
}

/** Not listed: 500. What is 503 may be asked again, here or elsewhere; `outcome` says of what. */
const STATUS: ReadonlyMap<ErrorCode | HttpCode, number> = new Map<ErrorCode | HttpCode, number>([
  ['E_REQUEST_INVALID', 400],
  ['E_CONFIG_INVALID', 400],
  ['E_TOKEN', 400],
  ['E_NOT_A_NUMBER', 400],
  ['E_UNAUTHENTICATED', 401],
  ['E_FORBIDDEN', 403],
  ['E_ORIGIN', 403],
  ['E_HOST', 421],
  ['E_NOT_FOUND', 404],
  ['E_METHOD', 405],
  ['E_CHANGE_REFUSED', 409],
  ['E_TRANSFER_FAILED', 409],
  ['E_COMPACTED', 410],
  ['E_PAYLOAD_SIZE', 413],
  ['E_GROUP_SIZE', 413],
  ['E_CONTENT_TYPE', 415],
  ['E_RATE_LIMITED', 429],
  ['E_NOT_AVAILABLE', 501],
  ['E_NOT_LEADER', 503],
  ['E_LEADERSHIP_LOST', 503],
  ['E_TRANSFERRING', 503],
  ['E_OVERLOADED', 503],
  ['E_READ_REFUSED', 503],
  ['E_CLOSED', 503],
  ['E_LOG_FULL', 507],
  ['E_STORE_FULL', 507],
  ['E_READ_TIMEOUT', 504],
  ['E_ABORTED', 504],
])
