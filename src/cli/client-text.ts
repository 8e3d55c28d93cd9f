/** What the commands of clients print. Pure. */
import type { Change, ChangeEvent, Entry } from '../client/index.ts'

type Row = Readonly<Record<string, unknown>>

/** Columns that no row has anything in are left out. */
export function tableOf(columns: readonly string[], rows: readonly Row[]): string {
  const shown = columns.filter((column) => rows.some((row) => textOf(row[column]) !== ''))
  const lines = [shown, ...rows.map((row) => shown.map((column) => textOf(row[column])))]
  const widths = shown.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const entryJson = (entry: Entry): object => ({
  key: utf8(entry.key),
  value: entry.text,
  createRevision: entry.createRevision,
  modRevision: entry.modRevision,
  version: entry.version,
  ...(entry.ttlMs !== null && { ttlMs: entry.ttlMs }),
})

/** Of one key that was asked for, the value alone. */
export function entriesText(
  entries: readonly Entry[],
  { isJson, isOne }: { readonly isJson: boolean; readonly isOne: boolean },
): string {
  if (isJson) return `${JSON.stringify(entries.map(entryJson))}\n`
  if (isOne) return entries.map(({ text }) => `${text}\n`).join('')
  return entries.map(({ key, text }) => `${utf8(key)}\t${text}\n`).join('')
}

export function changeText({ revision, events, uncertain }: Change, isJson: boolean): string {
  const told = events.map(eventJson)
  if (isJson) return `${JSON.stringify({ revision, uncertain, events: told })}\n`
  const index = String(revision)
  if (uncertain) return `${index}\tUNCERTAIN\tits effect is not known any more: read the keys\n`
  return told.map((one) => `${index}\t${Object.values(one).join('\t')}\n`).join('')
}

function eventJson(event: ChangeEvent): Readonly<Record<string, string>> {
  switch (event.kind) {
    case 'put':
      return { kind: 'PUT', key: utf8(event.key), value: event.text }
    case 'delete':
      return { kind: event.expired ? 'EXPIRED' : 'DELETE', key: utf8(event.key) }
    case 'delete-range':
      return {
        kind: 'DELETE_RANGE',
        key: utf8(event.from),
        to: event.to === null ? '' : utf8(event.to),
      }
  }
}
