/**
 * Cutting a history of one key on the right and on the left, so that what is left has an order if
 * the whole had one. So a piece without an order is a proof for the whole.
 *
 * - On the right: what had not returned by then may have happened or not.
 * - On the left, registers only: what returned before is gone, what was open then may have happened
 *   or not, and the first value may be any.
 */
import { isRead } from './compile.ts'
import type { Model, Operation } from './operation.ts'

/** Lists and counters are the sum of all that was done: they have no beginning but the first. */
export const canCutLeft = (model: Model, operations: readonly Operation[]): boolean =>
  model !== 'append' && !operations.some(({ f }) => f === 'incr')

export const prefixOf = (operations: readonly Operation[], through: number): readonly Operation[] =>
  operations
    .filter(({ call }) => call <= through)
    .map((operation) =>
      operation.outcome === 'info' || operation.return <= through ? operation : open(operation),
    )
    .filter(matters)

export const suffixOf = (operations: readonly Operation[], from: number): readonly Operation[] =>
  operations
    .filter((operation) => operation.call >= from || mayHappenFrom(operation, from))
    .map((operation) => (operation.call >= from ? operation : open(operation)))
    .filter(matters)

/** Of what was called before: pending, or open, and more than a look. */
const mayHappenFrom = ({ outcome, return: returned }: Operation, from: number): boolean =>
  outcome === 'info' || (outcome === 'ok' && returned >= from)

const open = (operation: Operation): Operation => ({
  ...operation,
  result: null,
  return: Infinity,
  outcome: 'info',
})

/** What failed did not happen, unless a cas; a pending read did nothing. */
export const matters = ({ f, outcome }: Operation): boolean =>
  outcome === 'ok' || f === 'cas' || (outcome === 'info' && !isRead(f))
