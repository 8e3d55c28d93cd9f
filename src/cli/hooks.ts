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
export function outputProblems({ json }: Flags): string[] {
  if (typeof json !== 'string' || json === '-' || json === '') return []
  const folder = dirname(resolve(json))
  try {
    const isFolder = existsSync(json) && statSync(json).isDirectory()
    if (isFolder) return [`--json: ${json} is a folder`]
    accessSync(existsSync(json) ? json : folder, constants.W_OK)
    return []
  } catch {
    return [`--json: cannot write ${json}`]
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
