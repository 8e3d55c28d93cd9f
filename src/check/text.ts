/** A result as text: the verdict first, then how much was judged, then the window as a table. */
import { isRead } from './compile.ts'
import { canonical } from './intern.ts'
import type { CheckResult } from './check.ts'
import type { Operation } from './operation.ts'

/** The first word is the verdict; ends with a newline. */
export function checkText(result: CheckResult): string {
  const { verdict, key, window, states, keys, operations } = result
  const count = `${operations} operations on ${keys} ${keys === 1 ? 'key' : 'keys'}`
  const lines = [verdict, `${count}, ${states} configurations searched`]
  if (verdict === 'unknown') lines.push(`not decided: ${keyText(key)}; time or memory ran out`)
  if (window === null) return `${lines.join('\n')}\n`
  const few = window.operations.length
  lines.push('', `${keyText(key)}: no order of ${few === 1 ? 'this' : `these ${few}`} explains it`)
  lines.push(
    `before them it held ${window.initial === 'any' ? 'whatever it may have held' : 'nothing'}`,
  )
  if (!window.isMinimal) lines.push('time ran out: a smaller window may exist')
  lines.push('', ...tableOf(window.operations))
  return `${lines.join('\n')}\n`
}

const keyText = (key: string | null): string =>
  key === '' || key === null ? 'the only object' : `key ${JSON.stringify(key)}`

function tableOf(operations: readonly Operation[]): string[] {
  const rows = [['process', 'operation', 'ended', 'called', 'returned'], ...operations.map(rowOf)]
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows.map((row) =>
    `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd(),
  )
}

function rowOf(operation: Operation): string[] {
  const { process, source, call, outcome } = operation
  const isOpen = outcome === 'info'
  const called = source === undefined ? `${call}` : placeOf(source.callLine, source.callNs)
  const returned =
    source === undefined ? `${operation.return}` : placeOf(source.returnLine, source.returnNs)
  return [
    String(process),
    operationText(operation),
    isOpen ? 'open' : outcome,
    called,
    isOpen ? 'not in this window' : returned,
  ]
}

function operationText({ f, value, result, outcome }: Operation): string {
  if (isRead(f)) return `${f} -> ${canonical(result)}`
  if (f === 'delete') return f
  const asked = `${f} ${canonical(value)}`
  if (f === 'cas' && outcome === 'fail') return `${asked} -> mismatch`
  return f === 'incr' && result !== null ? `${asked} -> ${canonical(result)}` : asked
}

const placeOf = (line: number | null, timeNs: number | null): string => {
  const time = timeNs === null ? '' : ` (${timeNs} ns)`
  return line === null ? 'never' : `line ${line}${time}`
}
