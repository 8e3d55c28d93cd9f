/**
 * Reads the file of `--config`: JSON, whose keys the command then checks like its flags
 * (native-free-bench/config-file.ts). One way for every command that takes such a file.
 */
import { readFileSync } from 'node:fs'

/** What the file holds; undefined when none was named, or when it cannot be read, which is said. */
export function readConfigFile(path: unknown, problems: string[]): unknown {
  if (typeof path !== 'string' || path === '') return undefined
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown
  } catch (error) {
    const isSyntax = error instanceof SyntaxError
    problems.push(`--config: ${isSyntax ? 'not JSON' : `cannot read ${path}`}`)
    return undefined
  }
}
