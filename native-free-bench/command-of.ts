/**
 * The command line that measures a configuration again: the flags that differ from what the command
 * takes by itself. What `parseBench` and `parseCompare` make of it is the same configuration, but
 * for the data directory, which is a path of one machine and so not in it. Pure.
 */
import { type CommandName, flagOf, type Option, type OptionKey, optionsOf } from './option-table.ts'
import { parseBench, parseCompare, parseTune } from './options.ts'
import type {
  KillNode,
  PublicBenchConfig,
  PublicCompareConfig,
  PublicTuneConfig,
  QuorumSizes,
  SlowDisk,
  SourceOf,
} from './types.ts'

type Values = Readonly<Record<string, unknown>>
type Flags = Record<string, string | true>

/** A key that a file of an older version does not have counts as its default. */
export const benchCommand = (config: Partial<PublicBenchConfig>): string =>
  commandOf('bench', config, (flags) => parseBench({ flags }).config, ['engine', 'nodes'])

export const compareCommand = (config: Partial<PublicCompareConfig>): string =>
  commandOf('compare', config, (flags) => parseCompare({ flags }).config, ['nodes'])

export const tuneCommand = (config: Partial<PublicTuneConfig>): string =>
  commandOf('tune', config, (flags) => parseTune({ flags }).config, ['engine', 'nodes'])

/** `first`: options that the defaults of others hang on. */
function commandOf(
  command: CommandName,
  config: object,
  parse: (flags: Flags) => object | undefined,
  first: readonly OptionKey[],
): string {
  const rows = optionsOf(command).filter(([, { isLocal, isMissing }]) => !isLocal && !isMissing)
  const wanted = config as Values
  const isGiven = (key: string): boolean => wanted[key] !== undefined && wanted[key] !== null
  const flags: Flags = {}
  const add = ([key, option]: [OptionKey, Option]): void => {
    flags[key] = textOf(option, wanted[key])
  }
  rows.filter(([key]) => first.includes(key) && isGiven(key)).forEach(add)
  // Some defaults change with what else is given: what then differs is given too.
  for (let before = -1; before !== Object.keys(flags).length;) {
    before = Object.keys(flags).length
    const made = (parse(flags) ?? {}) as Values
    const differs = (key: string): boolean => !isSame(made[key], wanted[key])
    rows.filter(([key]) => !(key in flags) && isGiven(key) && differs(key)).forEach(add)
  }
  const plain = (parse({}) ?? {}) as Values
  const shown = rows.filter(([key]) => key in flags)
  const isNeeded = (key: OptionKey): boolean =>
    key === 'engine' || !first.includes(key) || !isSame(plain[key], wanted[key])
  const words = shown.filter(([key]) => isNeeded(key)).map(([key]) => wordsOf(key, flags[key]!))
  return ['xpaxos', command, ...words].join(' ')
}

const wordsOf = (key: string, value: string | true): string =>
  value === true ? flagOf(key) : `${flagOf(key)} ${value}`

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

function textOf({ kind }: Option, value: unknown): string | true {
  switch (kind) {
    case 'flag':
      return true
    case 'list':
    case 'weights':
      return (value as readonly unknown[]).join(',')
    case 'nodes':
      return (value as readonly number[]).map((node) => `n${node}`).join(',')
    case 'sources':
      return (value as readonly SourceOf[]).map((one) => `n${one.node}=n${one.source}`).join(',')
    case 'quorums':
      return `${(value as QuorumSizes).prepare},${(value as QuorumSizes).accept}`
    case 'kill':
      return `n${(value as KillNode).node}@${(value as KillNode).atS}`
    case 'slow':
      return `n${(value as SlowDisk).node}:${(value as SlowDisk).factor}`
    case 'integer':
    case 'number':
    case 'choice':
    case 'text':
    case 'inflight':
      return String(value)
  }
}
