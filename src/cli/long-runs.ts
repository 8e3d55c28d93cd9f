/**
 * What the long commands of package.json share (mutants, campaign, layouts, soak): one positional
 * count, and a result that is written twice, as JSON and as Markdown, with where it was measured.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Environment } from '../../native-free-bench/types.ts'
import { UsageError } from './exit.ts'

const FOLDER = 'results'

/** @throws UsageError naming what was given and the range */
export function countOf(name: string, given: string, max: number): number {
  const value = Number(given)
  if (Number.isInteger(value) && value >= 1 && value <= max) return value
  throw new UsageError([`${name}: want a whole number in [1, ${max}], not ${given}`])
}

interface Origin {
  /** results/FILE.json and results/FILE.md. */
  readonly file: string
  readonly title: string
  readonly command: string
  readonly environment: Environment
}

export function writeResult(
  { file, title, command, environment }: Origin,
  { schema, ...rest }: Readonly<Record<string, unknown>>,
  text: string,
): void {
  mkdirSync(FOLDER, { recursive: true })
  const json = { schema, command, environment, ...rest }
  writeFileSync(`${FOLDER}/${file}.json`, `${JSON.stringify(json, null, 2)}\n`)
  const { commit, dirty, node, cpuModel, cores } = environment
  const at = `${commit}${dirty ? ' (changed)' : ''}, Node ${node}`
  const head = `# ${title}\n\nWritten by \`${command}\` at ${at},\n${cpuModel}, ${cores} cores.\n`
  writeFileSync(`${FOLDER}/${file}.md`, `${head}\n${text}`)
}

export const fenced = (text: string): string => `\`\`\`text\n${text}\`\`\`\n`
