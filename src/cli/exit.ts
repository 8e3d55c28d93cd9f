/** Outcomes as exit statuses, and errors as one clear line a problem. Scripts rely on these. */
import { type ErrorCode, ReplicaError } from '../base/errors.ts'

export const EXIT = { done: 0, failed: 1, badUsage: 2, interrupted: 130 } as const
export type Exit = (typeof EXIT)[keyof typeof EXIT]

/** What the user can put right by calling differently; all else is a failed run. */
const USAGE_CODES: ReadonlySet<ErrorCode> = new Set([
  'E_CONFIG_INVALID',
  'E_NOT_AVAILABLE',
  'E_DATA_DIR',
  'E_DISASTER_REFUSED',
  'E_HISTORY_INVALID',
])

export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('; '))
    this.problems = problems
  }
}

/** Says what went wrong and names the exit status for it. A bug keeps its stack. */
export function exitOf(error: unknown, print: (line: string) => void): Exit {
  if (error instanceof UsageError) return printed(error.problems, EXIT.badUsage, print)
  if (!isReplicaError(error)) {
    print(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return EXIT.failed
  }
  if (error.code === 'E_ABORTED') return printed(['interrupted'], EXIT.interrupted, print)
  const exit = USAGE_CODES.has(error.code) ? EXIT.badUsage : EXIT.failed
  return printed(problemsOf(error), exit, print)
}

/** instanceof alone leaves the code's type open. */
const isReplicaError = (error: unknown): error is ReplicaError => error instanceof ReplicaError

function problemsOf(error: ReplicaError): readonly string[] {
  const detail: object = error.detail
  if (error.code === 'E_CONFIG_INVALID' && 'problems' in detail)
    return detail.problems as readonly string[]
  return [error.message.replaceAll('\n', ' ')]
}

function printed(lines: readonly string[], exit: Exit, print: (line: string) => void): Exit {
  for (const line of lines) print(line)
  return exit
}
