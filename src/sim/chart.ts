/**
 * The sequence chart of a run's end, for people: one column a node, time downwards, an arrow at the
 * moment a message is taken, notes where a node leads, crashes or comes back. Pure.
 *
 *          n1         n2         n3
 *     1.20 |          |          |
 *     1.21 |--------->|          |     accept ballot 1.1 prev 0 through 4 [1-4]
 *     1.24 |          LEADS      |
 */
import type { Member } from '../core/engine.ts'
import type { TraceLine } from './trace.ts'

const LINES_MAX = 120
const COLUMN = 10
const TIME = 11

export function chartOf(
  members: readonly Member[],
  lines: readonly TraceLine[],
  linesMax = LINES_MAX,
): string {
  const count = members.length
  const shown = lines.slice(-linesMax)
  const head = ' '.repeat(TIME) + members.map(nameOf).join('')
  const left = lines.length - shown.length
  const note = left > 0 ? [`... ${left} lines before`] : []
  return [head.trimEnd(), ...note, ...shown.map((line) => lineOf(line, count)), ''].join('\n')
}

const nameOf = ({ id, role }: Member): string =>
  `n${id}${role === 'voter' ? '' : ` ${role}`}`.padEnd(COLUMN)

function lineOf({ atUs, from, to, text }: TraceLine, count: number): string {
  const time = (atUs / 1_000).toFixed(3).padStart(TIME - 1) + ' '
  if (from < 0) return `${time}${rails(count)} ${text}`
  const cells = rails(count).split('')
  if (to < 0) cells[from * COLUMN] = '*'
  else arrow(cells, from, to)
  const name = to < 0 ? `n${from + 1}: ` : ''
  return `${time}${cells.join('')} ${name}${text}`
}

const rails = (count: number): string => '|'.padEnd(COLUMN).repeat(count)

function arrow(cells: string[], from: number, to: number): void {
  const [low, high] = from < to ? [from, to] : [to, from]
  for (let at = low * COLUMN + 1; at < high * COLUMN; at++) cells[at] = '-'
  cells[to * COLUMN + (from < to ? -1 : 1)] = from < to ? '>' : '<'
}
