/**
 * Events of a file to operations: pairs each call with its return, and refuses what no set of
 * clients can have done. A process has one operation open at a time; one that ended in `info` is
 * open for ever, so its process is gone. What a file leaves open is pending like `info`.
 */
import { canonical } from './intern.ts'
import { isRead } from './compile.ts'
import {
  type FunctionName,
  isFunction,
  type Model,
  type Operation,
  refuse,
  validate,
  type Value,
} from './operation.ts'
import { parseJepsenLine } from './jepsen.ts'
import { parseJsonLine } from './jsonl.ts'

export const FORMATS = ['jepsen', 'jsonl'] as const
export type Format = (typeof FORMATS)[number]

export const EVENT_TYPES = ['invoke', 'ok', 'fail', 'info'] as const
export type EventType = (typeof EVENT_TYPES)[number]

export interface HistoryEvent {
  readonly line: number
  readonly process: number | string
  readonly type: EventType
  readonly f: string
  /** Undefined: the line does not say. */
  readonly key: string | undefined
  readonly value: Value | undefined
  readonly timeNs: number | undefined
}

interface Call {
  readonly event: HistoryEvent
  readonly f: FunctionName
  readonly at: number
}

/**
 * Reads a file's text. Order is that of `timeNs` where lines carry it, then that of lines.
 * @throws ReplicaError E_HISTORY_INVALID naming the first bad line and its field
 */
export function parseHistory(model: Model, format: Format, text: string): Operation[] {
  const events: HistoryEvent[] = []
  text.split('\n').forEach((raw, i) => {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
    if (line.trim() === '') return
    const event = format === 'jepsen' ? parseJepsenLine(line, i + 1) : parseJsonLine(line, i + 1)
    if (event !== undefined) events.push(event)
  })
  const operations = operationsOf(model, inOrder(events))
  validate(model, operations)
  return operations
}

/** What the file is, by its first character that is no space. */
export const formatOf = (text: string): Format => (/^\s*\{/.test(text) ? 'jsonl' : 'jepsen')

function inOrder(events: readonly HistoryEvent[]): HistoryEvent[] {
  const timed = events.filter(({ timeNs }) => timeNs !== undefined)
  const bare = events.find(({ timeNs }) => timeNs === undefined)
  if (timed.length > 0 && bare !== undefined)
    refuse(bare.line, 'timeNs', 'missing, and other lines have it')
  return [...events].sort(
    (left, right) => (left.timeNs ?? 0) - (right.timeNs ?? 0) || left.line - right.line,
  )
}

function operationsOf(model: Model, events: readonly HistoryEvent[]): Operation[] {
  const open = new Map<number | string, Call>()
  const gone = new Map<number | string, number>() // line of the info
  const operations: Operation[] = []
  events.forEach((event, at) => {
    const { line, process, type, f } = event
    if (!isFunction(f)) refuse(line, 'f', `${f} is no operation`)
    const call = open.get(process)
    if (type === 'invoke') {
      if (call !== undefined)
        refuse(line, 'process', `${process} invokes; its call of line ${call.event.line} is open`)
      if (gone.has(process))
        refuse(
          line,
          'process',
          `${process} invokes, and ended in info at line ${gone.get(process)}`,
        )
      if (model === 'kv' && event.key === undefined) refuse(line, 'key', 'missing')
      open.set(process, { event, f, at })
      return
    }
    if (call === undefined) refuse(line, 'process', `${process} returns without a call`)
    open.delete(process)
    if (type === 'info') gone.set(process, line)
    operations.push(operationOf(call, event, at))
  })
  for (const call of open.values()) operations.push(operationOf(call, undefined, Infinity))
  return operations.sort((left, right) => left.call - right.call)
}

function operationOf({ event, f, at }: Call, end: HistoryEvent | undefined, endAt: number) {
  if (end !== undefined) checkReturn(event, end)
  const outcome = end === undefined || end.type === 'invoke' ? 'info' : end.type
  const value = event.value ?? (f === 'incr' ? 1 : null)
  if (event.value === undefined && NEEDS_VALUE.has(f)) refuse(event.line, 'value', 'missing')
  if (outcome === 'ok' && isRead(f) && end?.value === undefined)
    refuse(end!.line, 'value', 'missing: what was read')
  const answers = outcome === 'ok' && (isRead(f) || f === 'incr')
  return {
    process: event.process,
    key: event.key ?? '',
    f,
    value: isRead(f) || f === 'delete' ? null : value,
    result: answers ? (end?.value ?? null) : null,
    call: at,
    return: outcome === 'info' ? Infinity : endAt,
    outcome,
    source: {
      callLine: event.line,
      returnLine: end?.line ?? null,
      callNs: event.timeNs ?? null,
      returnNs: end?.timeNs ?? null,
    },
  } satisfies Operation
}

const NEEDS_VALUE: ReadonlySet<FunctionName> = new Set(['write', 'put', 'append', 'cas'])

/** A return repeats its call, or leaves out what it would repeat. */
function checkReturn(call: HistoryEvent, end: HistoryEvent): void {
  if (end.f !== call.f)
    refuse(end.line, 'f', `${end.f} returns, and ${call.f} was called at line ${call.line}`)
  if (end.key !== undefined && end.key !== (call.key ?? ''))
    refuse(end.line, 'key', `${end.key}, and the call of line ${call.line} has another`)
  const repeats = end.type === 'ok' && NEEDS_VALUE.has(end.f as FunctionName)
  if (!repeats || end.value === undefined || end.value === null) return
  if (canonical(end.value) !== canonical(call.value ?? null))
    refuse(end.line, 'value', `not that of the call at line ${call.line}`)
}
