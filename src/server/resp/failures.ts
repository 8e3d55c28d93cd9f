/** What goes wrong, as a RESP client is told: the code says what became of the command. */
import { isReplicaError } from '../../base/errors.ts'
import { Refusal } from './plan.ts'
import type { Failure } from './reply.ts'

/**
 *     NOTLEADER n ...    not written; node n takes writes, 0: nobody is known to
 *     OVERLOADED ...     not written; try again later
 *     TRYAGAIN ...       not written; leadership is being handed over
 *     OOM ...            not written; the store, or the log, is full
 *     UNKNOWN ...        may or may not be written: read before you repeat it
 *     UNAVAILABLE ...    a read that was not answered
 */
export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) return { error: error.message }
  if (!isReplicaError(error)) return { error: 'ERR internal error' }
  const text = error.message.replace(`${error.code}: `, '')
  if (error.outcome === 'unknown') {
    return { error: `UNKNOWN it may or may not have been written: ${error.message}` }
  }
  switch (error.code) {
    case 'E_NOT_LEADER': {
      const { leader } = error.detail as { readonly leader: number }
      return { error: `NOTLEADER ${leader} ${text}; nothing was written` }
    }
    case 'E_OVERLOADED':
      return { error: `OVERLOADED ${text}; nothing was written, try again` }
    case 'E_TRANSFERRING':
      return { error: `TRYAGAIN ${text}; nothing was written` }
    case 'E_LOG_FULL':
    case 'E_STORE_FULL':
      return { error: `OOM ${text}; nothing was written` }
    case 'E_READ_REFUSED':
    case 'E_READ_TIMEOUT':
    case 'E_CLOSED':
      return { error: `UNAVAILABLE ${error.message}` }
    default:
      return { error: `ERR ${text}` }
  }
}
