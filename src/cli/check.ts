/**
 * The body of `check`: reads a file, judges it, prints the verdict. Exit status 0 linearizable,
 * 1 not linearizable or not known, 2 bad usage or a file that is no history.
 */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { checkHistory } from '../check/check.ts'
import { FORMATS, type Format, formatOf, parseHistory } from '../check/history.ts'
import { type Model, MODELS } from '../check/operation.ts'
import { checkText } from '../check/text.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'

export interface CheckFlags {
  readonly model?: unknown
  readonly format?: unknown
  readonly timeout?: unknown
}

const TIMEOUT_MAX_S = 86_400

/** @throws UsageError with every problem at once; ReplicaError E_HISTORY_INVALID of the file */
export function runCheck(
  flags: CheckFlags,
  files: readonly string[],
  unknown: readonly string[],
): Exit {
  const problems = [...unknown]
  const model = oneOf('--model', MODELS, flags.model, problems)
  const format =
    flags.format === undefined ? undefined : oneOf('--format', FORMATS, flags.format, problems)
  const timeoutMs = timeoutMsOf(flags.timeout, problems)
  const text = textOf(files, problems)
  if (problems.length > 0) throw new UsageError(problems)
  return check(model!, format ?? formatOf(text), text, timeoutMs)
}

function check(model: Model, format: Format, text: string, timeoutMs: number): Exit {
  const operations = parseHistory(model, format, text)
  const result = checkHistory(model, operations, { timeoutMs, now: () => performance.now() })
  process.stdout.write(checkText(result))
  return result.verdict === 'linearizable' ? EXIT.done : EXIT.failed
}

function oneOf<Name extends string>(
  flag: string,
  names: readonly Name[],
  given: unknown,
  problems: string[],
): Name | undefined {
  const found = names.find((name) => name === given)
  if (found === undefined) problems.push(`${flag}: want one of ${names.join(', ')}`)
  return found
}

function timeoutMsOf(given: unknown, problems: string[]): number {
  const seconds = typeof given === 'string' && given.trim() !== '' ? Number(given) : NaN
  if (!(seconds > 0 && seconds <= TIMEOUT_MAX_S))
    problems.push(`--timeout: want seconds in (0, ${TIMEOUT_MAX_S}]`)
  return seconds * 1000
}

function textOf(files: readonly string[], problems: string[]): string {
  const [file, ...more] = files
  if (file === undefined) problems.push('FILE: missing')
  for (const name of more) problems.push(`${name}: unexpected argument`)
  if (file === undefined || more.length > 0) return ''
  try {
    return readFileSync(file, 'utf8')
  } catch {
    problems.push(`FILE: cannot read ${file}`)
    return ''
  }
}
