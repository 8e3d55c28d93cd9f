/**
 * The shape of a config file, `{"schema":"xpaxos-config/1", ...keys}`: the keys are the flags of a
 * command in camelCase. What is read here are the keys that were given; their values go through the
 * same checks as flags (option-values.ts). Pure: src/cli/config-file.ts reads the file.
 */
import type { Values } from './option-values.ts'

export const CONFIG_SCHEMA = 'xpaxos-config/1'

export interface FileKeys {
  /** The command, as a refusal names it. */
  readonly command: string
  readonly isTaken: (key: string) => boolean
  /** A key of some command: it is refused as not one of this. */
  readonly isKnown: (key: string) => boolean
}

/** The keys of a file that was given; adds one line for each that the command does not take. */
export function keysOfFile(
  file: unknown,
  { command, isTaken, isKnown }: FileKeys,
  problems: string[],
): Values {
  if (file === undefined) return {}
  if (typeof file !== 'object' || file === null || Array.isArray(file)) {
    problems.push('--config: want a JSON object')
    return {}
  }
  const { schema, ...keys } = file as Values
  if (schema !== CONFIG_SCHEMA)
    problems.push(
      `--config: schema: want "${CONFIG_SCHEMA}", not ${JSON.stringify(schema) ?? 'none'}`,
    )
  for (const key of Object.keys(keys)) {
    if (isTaken(key)) continue
    problems.push(`--config: ${key}: ${isKnown(key) ? `not a key of ${command}` : 'no such key'}`)
  }
  return keys
}
