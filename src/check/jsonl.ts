/**
 * One line of JSON: `{process, type, f, key, value, timeNs}`. Other fields are left alone. A key is
 * text or a number; null or none is a lone object's.
 */
import { EVENT_TYPES, type EventType, type HistoryEvent } from './history.ts'
import { refuse, type Value } from './operation.ts'

/** @throws ReplicaError E_HISTORY_INVALID */
export function parseJsonLine(text: string, line: number): HistoryEvent {
  const { process, type, f, key, value, timeNs } = fieldsOf(text, line)
  if (typeof process !== 'number' && typeof process !== 'string')
    refuse(line, 'process', `want a number or a text, not ${shown(process)}`)
  if (!isEventType(type)) refuse(line, 'type', `want ${EVENT_TYPES.join(', ')}: ${shown(type)}`)
  if (typeof f !== 'string') refuse(line, 'f', `want a text, not ${shown(f)}`)
  const hasKey = key !== undefined && key !== null
  if (hasKey && typeof key !== 'string' && typeof key !== 'number')
    refuse(line, 'key', `want a text or a number, not ${shown(key)}`)
  if (timeNs !== undefined && typeof timeNs !== 'number')
    refuse(line, 'timeNs', `want a number, not ${shown(timeNs)}`)
  const event = { line, process, type, f, value: value as Value | undefined, timeNs }
  return { ...event, key: hasKey ? String(key) : undefined }
}

function fieldsOf(text: string, line: number): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    refuse(line, 'line', 'not JSON, or cut short')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    refuse(line, 'line', 'not a JSON object')
  return parsed as Record<string, unknown>
}

const isEventType = (name: unknown): name is EventType =>
  (EVENT_TYPES as readonly unknown[]).includes(name)

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))
