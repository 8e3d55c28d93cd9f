/**
 * One value of one option: from text of the command line or from a config file, against its row of
 * option-table.ts. Flags and files go through the same checks; a refusal is one line that names the
 * flag or the file's key, and what it wants. Pure.
 */
import { nodesOf, quorumsOf, sourcesOf, weightsOf } from './option-members.ts'
import { flagOf, type Option, rangeOf } from './option-table.ts'
import { type KillNode, type SlowDisk, STATE_MACHINES } from './types.ts'

export type Values = Record<string, unknown>
/** Where a value was given. */
export type Origin = 'flag' | 'file'

/** How a refusal names an option: the flag, or the key of the file. */
export const nameOf = (key: string, origin: Origin): string =>
  origin === 'flag' ? flagOf(key) : `--config: ${key}`

/** undefined: refused, and said so. */
export function valueOf(
  key: string,
  option: Option,
  source: unknown,
  origin: Origin,
  problems: string[],
): unknown {
  const name = nameOf(key, origin)
  if (option.isMissing === true) {
    if (source !== false) problems.push(`${name}: not available yet`)
    return undefined
  }
  if (key === 'stateMachine' && isOther(source, STATE_MACHINES)) {
    problems.push(`${name}: ${source}: a MODULE is not available yet (want hash or kv)`)
    return undefined
  }
  const value = isQuoted(option, source, origin) ? undefined : parseValue(option, source)
  if (value !== undefined) return value
  const shown = source === true && option.kind !== 'flag' ? 'nothing' : shownOf(source, origin)
  problems.push(`${name}: want ${rangeOf(option)}, not ${shown} (${option.why})`)
  return undefined
}

/** JSON has numbers: one in quotes is a mistake there, while a command line is all text. */
const isQuoted = ({ kind }: Option, source: unknown, origin: Origin): boolean =>
  origin === 'file' &&
  typeof source === 'string' &&
  (kind === 'integer' || kind === 'number' || (kind === 'inflight' && source !== 'best'))

const isOther = (source: unknown, known: readonly string[]): source is string =>
  typeof source === 'string' && source !== '' && !known.includes(source)

const shownOf = (source: unknown, origin: Origin): string =>
  typeof source === 'string' && source !== '' && origin === 'flag' ? source : JSON.stringify(source)

/** undefined: refused. */
function parseValue(option: Option, source: unknown): unknown {
  switch (option.kind) {
    case 'integer':
    case 'number':
      return numberOf(option, source)
    case 'choice':
      return option.choices!.includes(source as string) ? source : undefined
    case 'list':
      return parseList(option, source)
    case 'inflight':
      return source === 'best' ? source : numberOf(option, source)
    case 'kill':
      return killOf(source)
    case 'slow':
      return slowOf(source)
    case 'weights':
      return weightsOf(source)
    case 'nodes':
      return nodesOf(source)
    case 'sources':
      return sourcesOf(source)
    case 'quorums':
      return quorumsOf(source)
    case 'text':
      return typeof source === 'string' && source !== '' ? source : undefined
    case 'flag':
      return typeof source === 'boolean' ? source : undefined
  }
}

function numberOf({ kind, min, max }: Option, source: unknown): number | undefined {
  const isText = typeof source === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(source)
  const value = isText ? Number(source) : source
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined
  if (kind !== 'number' && !Number.isInteger(value)) return undefined
  return value >= min! && value <= max! ? value : undefined
}

export const listOf = (source: unknown): string[] =>
  Array.isArray(source) ? source.map(String) : typeof source === 'string' ? source.split(',') : []

function parseList({ choices }: Option, source: unknown): string[] | undefined {
  const parts = listOf(source).map((part) => part.trim())
  return parts.length > 0 && parts.every((part) => choices!.includes(part)) ? parts : undefined
}

function killOf(source: unknown): KillNode | undefined {
  const { node, atS } = typeof source === 'string' ? splitKill(source) : ((source ?? {}) as Values)
  const isNode = typeof node === 'number' && Number.isInteger(node) && node >= 1 && node <= 9
  const isTime = typeof atS === 'number' && Number.isFinite(atS) && atS >= 0
  return isNode && isTime ? { node, atS } : undefined
}

function splitKill(text: string): Values {
  const [, node, atS] = /^n?(\d+)@(\d+(?:\.\d+)?)$/.exec(text) ?? []
  return node === undefined ? {} : { node: Number(node), atS: Number(atS) }
}

function slowOf(source: unknown): SlowDisk | undefined {
  const { node, factor } =
    typeof source === 'string' ? splitSlow(source) : ((source ?? {}) as Values)
  const isNode = typeof node === 'number' && Number.isInteger(node) && node >= 1 && node <= 9
  const isFactor = typeof factor === 'number' && factor >= 1 && factor <= 10_000
  return isNode && isFactor ? { node, factor } : undefined
}

function splitSlow(text: string): Values {
  const [, node, factor] = /^n?(\d+):(\d+(?:\.\d+)?)$/.exec(text) ?? []
  return node === undefined ? {} : { node: Number(node), factor: Number(factor) }
}
