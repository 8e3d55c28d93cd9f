/**
 * Published results: results/<yyyy-mm-dd>-<commit>/ with environment.json, one JSON a measurement,
 * and what a report makes of them. Written at the end and in one go (a folder beside it, then a
 * rename), so that a folder is complete or says that it is partial. Carries no path of the machine.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { table } from './report/text.ts'
import { digits } from './report/units.ts'
import type { CompareResult, Environment } from './types.ts'

/** One measured function of a micro-benchmark suite; ns are per call, not per sample. */
export interface SuiteRow {
  readonly name: string
  readonly nsPerCallMedian: number
  readonly nsPerCallP99: number
  /** Relative margin of error of the mean, in percent. */
  readonly errorPercent: number
  readonly samples: number
}

export interface SuiteResult {
  readonly suite: string
  readonly question: string
  readonly rows: readonly SuiteRow[]
}

export interface SuitesResult {
  readonly schema: 'xpaxos-suites/1'
  readonly command: string
  readonly environment: Environment
  readonly suites: readonly SuiteResult[]
  readonly partial: boolean
}

export interface Published {
  readonly compare: CompareResult
  readonly suites: SuitesResult
}

/**
 * Writes one JSON a result, by name; `finish` adds what is made of them to the folder while nobody
 * sees it. Returns the new folder's name under `out`. A second run of a day gets `-2`.
 */
export function writeResults(
  out: string,
  environment: Environment,
  results: Readonly<Record<string, object>>,
  finish: (dir: string) => void,
): string {
  const name = freeName(out, folderName(environment))
  const scratch = join(out, `.tmp-${process.pid}`)
  mkdirSync(scratch, { recursive: true })
  try {
    for (const [file, content] of Object.entries({ environment, ...results }))
      writeFileSync(join(scratch, `${file}.json`), jsonOf(content))
    finish(scratch)
    renameSync(scratch, join(out, name))
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true })
    throw error
  }
  return name
}

export const jsonOf = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

export function suiteText({ suite, question, rows }: SuiteResult): string {
  const body = rows.map((row) => [
    row.name,
    digits(row.nsPerCallMedian),
    digits(row.nsPerCallP99),
    `${digits(row.errorPercent)} %`,
    String(row.samples),
  ])
  const head = ['ns a call', 'median', 'p99', 'error', 'samples']
  return `${suite}: ${question}\n` + table([head, ...body])
}

const folderName = ({ startedAt, commit }: Environment): string =>
  `${startedAt.slice(0, 10)}-${commit.slice(0, 7)}`

function freeName(out: string, name: string): string {
  if (!existsSync(join(out, name))) return name
  let again = 2
  while (existsSync(join(out, `${name}-${again}`))) again++
  return `${name}-${again}`
}
