/**
 * Scripted tests: a file of cases, separated by blank lines. A case is any number of `#` comments,
 * one line `command word key=value ...`, a line `----`, and what the command prints.
 *
 *     # A second promise in the same ballot is no news.
 *     prepare from=2 round=1
 *     ----
 *     send 2 promise
 *
 * REWRITE=1 writes down what the code does now instead of comparing: read that diff before you
 * commit it. A handler that throws prints the error's message, so refusals are scripted too.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'

export interface Command {
  readonly name: string
  /** Words without `=`, in order. */
  readonly words: readonly string[]
  readonly args: ReadonlyMap<string, string>
}

/** Prints what the command did; an empty text is shown as `ok`. */
export type Handler = (command: Command) => string

const SEPARATOR = '----'

export function runScript(file: URL, handle: Handler): void {
  const recorded = readFileSync(file, 'utf8')
  const replayed = recorded
    .trim()
    .split(/\n{2,}/)
    .map((text) => replayCase(text, handle))
  const actual = `${replayed.join('\n\n')}\n`
  if (process.env['REWRITE'] === '1') writeFileSync(file, actual)
  else expect(actual).toBe(recorded)
}

/** The case with its output made anew; comments alone stay as they are. */
function replayCase(text: string, handle: Handler): string {
  const lines = text.split('\n')
  const end = lines.indexOf(SEPARATOR)
  const head = end === -1 ? lines : lines.slice(0, end)
  const line = head.findLast((candidate) => !candidate.startsWith('#'))
  if (line === undefined) return text
  return [...head, SEPARATOR, outputOf(parseCommand(line), handle)].join('\n')
}

function outputOf(command: Command, handle: Handler): string {
  try {
    const output = handle(command).trimEnd()
    return output === '' ? 'ok' : output
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : String(error)}`
  }
}

function parseCommand(line: string): Command {
  const [name = '', ...rest] = line.trim().split(/\s+/)
  const args = new Map<string, string>()
  const words: string[] = []
  for (const word of rest) {
    const at = word.indexOf('=')
    if (at > 0) args.set(word.slice(0, at), word.slice(at + 1))
    else words.push(word)
  }
  return { name, words, args }
}

/** The argument as a number. @throws Error when it is missing and has no default */
export function numberOf({ name, args }: Command, key: string, otherwise?: number): number {
  const text = args.get(key)
  if (text !== undefined) return Number(text)
  if (otherwise === undefined) throw new Error(`${name} needs ${key}=`)
  return otherwise
}
