/**
 * Published results: results/<yyyy-mm-dd>-<commit>/ with environment.json, one JSON a measurement,
 * summary.md and chart.svg. Written at the end and in one go (a folder beside it, then a rename),
 * so that a folder is complete or says that it is partial. Carries no path of the machine.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compareChart } from './report/chart.ts'
import { compareText, table } from './report/text.ts'
import { digits } from './report/units.ts'
import type { CompareResult } from './types.ts'

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
  readonly suites: readonly SuiteResult[]
  readonly partial: boolean
}

export interface Published {
  readonly compare: CompareResult
  readonly suites: SuitesResult
}

/** Writes all files; returns the new folder's name under `out`. A second run of a day gets `-2`. */
export function writeResults(out: string, { compare, suites }: Published): string {
  const name = freeName(out, folderName(compare.environment))
  const scratch = join(out, `.tmp-${process.pid}`)
  mkdirSync(scratch, { recursive: true })
  try {
    const files: Record<string, string> = {
      'environment.json': jsonOf(compare.environment),
      'compare.json': jsonOf(compare),
      'suites.json': jsonOf(suites),
      'summary.md': summaryMarkdown({ compare, suites }),
      'chart.svg': compareChart(compare),
    }
    for (const [file, text] of Object.entries(files)) writeFileSync(join(scratch, file), text)
    renameSync(scratch, join(out, name))
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true })
    throw error
  }
  return name
}

export const jsonOf = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

export function summaryMarkdown({ compare, suites }: Published): string {
  const { environment } = compare
  const state = compare.partial || suites.partial ? '\n**Interrupted: partial results.**\n' : ''
  const dirty = environment.dirty ? ' with local changes' : ''
  const gibibytes = digits(environment.memoryBytes / 2 ** 30)
  return (
    `# Results of ${environment.startedAt.slice(0, 10)}\n${state}\n` +
    `Commit ${environment.commit}${dirty}; Node ${environment.node}; ${environment.cpuModel}, ` +
    `${environment.cores} cores, ${gibibytes} GiB; ${environment.kernel}; ` +
    `${environment.filesystem}.\n\n` +
    `## Engines side by side\n\n` +
    '```text\n' +
    compareText(compare) +
    '```\n\n' +
    `![Throughput and latency by engine](chart.svg)\n\n` +
    `## Parts\n\n` +
    suites.suites.map(suiteMarkdown).join('\n')
  )
}

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

const suiteMarkdown = (suite: SuiteResult): string => '```text\n' + suiteText(suite) + '```\n'

const folderName = ({ startedAt, commit }: CompareResult['environment']): string =>
  `${startedAt.slice(0, 10)}-${commit.slice(0, 7)}`

function freeName(out: string, name: string): string {
  if (!existsSync(join(out, name))) return name
  let again = 2
  while (existsSync(join(out, `${name}-${again}`))) again++
  return `${name}-${again}`
}
