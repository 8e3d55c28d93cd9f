/**
 * What commands that run for a while have in common: refusals before anything is written, an
 * interrupt that keeps what is complete, progress on stderr.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { RunHooks } from '../../native-free-bench/types.ts'
import { EXIT, UsageError } from './exit.ts'

export type Flags = Readonly<Record<string, unknown>>

export function refuse(...lists: readonly (readonly string[])[]): void {
  const problems = [...new Set(lists.flat())]
  if (problems.length > 0) throw new UsageError(problems)
}

/** Found before minutes are spent: where JSON goes must be writable when the run is over. */
export const outputProblems = ({ json }: Flags): string[] =>
  json === '-' ? [] : fileProblems('--json', json)

/** Whether a file can be written, if one is named. */
export function fileProblems(flag: string, path: unknown): string[] {
  if (typeof path !== 'string' || path === '') return []
  const folder = dirname(resolve(path))
  try {
    const isFolder = existsSync(path) && statSync(path).isDirectory()
    if (isFolder) return [`${flag}: ${path} is a folder`]
    accessSync(existsSync(path) ? path : folder, constants.W_OK)
    return []
  } catch {
    return [`${flag}: cannot write ${path}`]
  }
}

export async function withHooks<T>(flags: Flags, run: (hooks: RunHooks) => Promise<T>): Promise<T> {
  const interrupt = new AbortController()
  const onSignal = (): void => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted)
    interrupt.abort()
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, onSignal)
  try {
    return await run({ progress: progressOf(flags), signal: interrupt.signal })
  } finally {
    for (const signal of signals) process.off(signal, onSignal)
  }
}

function progressOf(flags: Flags): (text: string) => void {
  const isWanted = flags['progress'] === true || process.stderr.isTTY
  return isWanted ? (text) => void process.stderr.write(`${text}\n`) : () => undefined
}
