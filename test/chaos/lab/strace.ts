/**
 * strace around a node: which calls to the kernel matter, how many there are, and a fault at the
 * n-th of one. Counts are strace's own: one a thread and a call, and only one thread of a node
 * writes its files.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { segmentPath, sparePath } from '../../../src/wal/segment.ts'

/**
 * All that changes what is on a disk; sockets and pipes are written with other calls. Not here is
 * the one `write` that fills the lock's draft: the `link` behind it is.
 */
export const CALLS = [
  ...['pwrite64', 'pwritev', 'fdatasync', 'fsync', 'ftruncate', 'fallocate'],
  ...['rename', 'unlink', 'link', 'mkdir', 'openat'],
]
const SEGMENTS_MAX = 64

const missing = (): string | null => {
  const probe = spawnSync('strace', ['-f', '-o', '/dev/null', 'true'])
  if (probe.error !== undefined) return 'strace is not installed (apt-get install strace)'
  if (probe.status !== 0) return 'strace may not trace here (ptrace is not permitted)'
  return null
}

let known: string | null | undefined

/** Why nothing can be injected here, and what to install; null: it can. */
export const straceMissing = (): string | null =>
  known === undefined ? (known = missing()) : known

/** `-f`: all threads; what they call is written to `log`. */
const traced = (log: string, calls: readonly string[]): string[] => [
  ...['strace', '-f', '-qq', '-y', '-s', '0', '-o', log],
  ...['-e', `trace=${calls.join()}`, '-e', 'signal=none'],
]

/** Sources are opened too, so opening counts for the files of `dir` only. */
const pathsOf = (dir: string): string[] => {
  const numbers = Array.from({ length: SEGMENTS_MAX }, (_, i) => i + 1)
  const segments = numbers.flatMap((number) => [segmentPath(dir, number), sparePath(dir, number)])
  return [dir, `${dir}/identity`, `${dir}/identity.tmp`, `${dir}/lock`, ...segments]
}

export interface Point {
  readonly call: string
  /** Which of the process's calls of this name; from 1. */
  readonly n: number
}

export const pointText = ({ call, n }: Point): string => `${call} ${String(n)}`

const faultAt = (log: string, dir: string, { call, n }: Point, fault: string): string[] => [
  ...traced(log, CALLS),
  ...(call === 'openat' ? pathsOf(dir).flatMap((path) => ['-P', path]) : []),
  ...['-e', `inject=${call}:${fault}:when=${String(n)}`],
]

/** The process dies before the kernel carries out the call. */
export const killingAt = (log: string, dir: string, point: Point): string[] =>
  faultAt(log, dir, point, 'signal=KILL')

/** The call fails. */
export const failingAt = (log: string, dir: string, point: Point, errno: string): string[] =>
  faultAt(log, dir, point, `error=${errno}`)

/** From the n-th on, every sync says that it is done, and does nothing. */
export const lying = (log: string, n: number): string[] => [
  ...traced(log, ['fdatasync', 'fsync']),
  ...['-e', `inject=fdatasync,fsync:retval=0:when=${String(n)}+`],
]

/** Only writes down what is called. */
export const watching = (log: string): string[] => traced(log, CALLS)

export interface TracedCall {
  readonly call: string
  readonly text: string
  readonly isInjected: boolean
}

/** A call during which another thread's was written down has two parts; it ends with the second. */
export function* wholeLines(trace: string): Generator<string> {
  const begun = new Map<string, string>()
  for (const line of trace.split('\n')) {
    const [, pid, start] = /^(\d+) +(.*) <unfinished \.\.\.>$/.exec(line) ?? []
    const [, of, rest] = /^(\d+) +<\.\.\. \w+ resumed>(.*)$/.exec(line) ?? []
    if (pid !== undefined) begun.set(pid, `${pid} ${start!}`)
    else if (of !== undefined) yield `${begun.get(of) ?? ''}${rest!}`
    else yield line
  }
}

/** Calls of a trace that name something in `dir`, in order of their ends. */
export function callsOf(log: string, dir: string): TracedCall[] {
  const found: TracedCall[] = []
  for (const text of wholeLines(readFileSync(log, 'latin1'))) {
    const [, call] = /^\d+ +(\w+)\(/.exec(text) ?? []
    if (call === undefined || !text.includes(dir)) continue
    found.push({ call, text, isInjected: text.endsWith('(INJECTED)') })
  }
  return found
}

/** Where a fault can be, in order of the trace. */
export function pointsOf(calls: readonly TracedCall[]): Point[] {
  const counts = new Map<string, number>()
  return calls.map(({ call }) => {
    const n = (counts.get(call) ?? 0) + 1
    counts.set(call, n)
    return { call, n }
  })
}

/** Joins a process: the n-th of the calls that it makes from then on, in any thread, fails. */
export const failingLater = (fault: {
  readonly log: string
  readonly pid: number
  readonly calls: string
  readonly errno: string
  readonly n: number
}): string[] => [
  ...['strace', '-f', '-qq', '-o', fault.log, '-p', String(fault.pid)],
  ...['-e', `trace=${fault.calls}`, '-e', 'signal=none'],
  ...['-e', `inject=${fault.calls}:error=${fault.errno}:when=${String(fault.n)}`],
]
