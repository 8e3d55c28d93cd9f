/**
 * One line of a Jepsen log of register operations:
 *
 *     INFO  jepsen.util - 3 <tab> :invoke <tab> :cas <tab> [1 2]
 *
 * process, type, operation, value: nil, a whole number, two of them for a cas, or a word like
 * :timed-out where it ended without an answer. Lines of the nemesis are not operations.
 */
import { EVENT_TYPES, type EventType, type HistoryEvent } from './history.ts'
import { refuse, type Value } from './operation.ts'

/** @throws ReplicaError E_HISTORY_INVALID; undefined for a line of the nemesis */
export function parseJepsenLine(text: string, line: number): HistoryEvent | undefined {
  const found = /^INFO\s+jepsen\.util\s+-\s+(.*)$/.exec(text)
  if (found === null) refuse(line, 'line', 'does not begin with "INFO  jepsen.util - "')
  const [process = '', type = '', f = '', ...rest] = found[1]!.trim().split(/\s+/)
  if (process === ':nemesis') return undefined
  if (!/^\d+$/.test(process)) refuse(line, 'process', `want a whole number, not ${quote(process)}`)
  const name = type.startsWith(':') ? type.slice(1) : ''
  if (!isEventType(name)) refuse(line, 'type', `want :invoke, :ok, :fail or :info: ${quote(type)}`)
  if (!/^:[a-z]+$/.test(f)) refuse(line, 'f', `want :read, :write or :cas, not ${quote(f)}`)
  const value = valueOf(rest.join(' '))
  if (value === 'bad') refuse(line, 'value', `cannot read ${quote(rest.join(' '))}`)
  if (typeof value === 'object' && 'word' in value && name !== 'info' && name !== 'fail')
    refuse(line, 'value', `${value.word} where the operation has a value`)
  return {
    line,
    process: Number(process),
    type: name,
    f: f.slice(1),
    key: undefined,
    value: 'word' in value ? undefined : value.value,
    timeNs: undefined,
  }
}

const isEventType = (name: string): name is EventType =>
  (EVENT_TYPES as readonly string[]).includes(name)

const quote = (text: string): string => (text === '' ? 'nothing' : `"${text}"`)

function valueOf(text: string): { value: Value } | { word: string } | 'bad' {
  if (text === 'nil') return { value: null }
  if (/^-?\d+$/.test(text)) return { value: Number(text) }
  const pair = /^\[(-?\d+|nil) (-?\d+|nil)\]$/.exec(text)
  if (pair !== null) return { value: [numberOf(pair[1]!), numberOf(pair[2]!)] }
  return /^:[a-z-]+$/.test(text) ? { word: text } : 'bad'
}

const numberOf = (text: string): Value => (text === 'nil' ? null : Number(text))
