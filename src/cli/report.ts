/**
 * The body of `xpaxos report RESULTS_DIR`: reads the folder's results, writes summary.md,
 * report.html and the charts of a README beside them. A file that cannot be read is named in the
 * report and on stderr; exit status 1 only when nothing could be read, and then nothing is written.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { reportFiles } from '../../native-free-bench/report/report.ts'
import { type Exit, EXIT } from './exit.ts'
import { refuse } from './hooks.ts'
import { readFolder } from './report-files.ts'

/** @throws UsageError with every problem of the command line at once */
export function runReport(names: readonly string[], unknown: readonly string[]): Exit {
  const [dir] = names
  const missing = dir === undefined ? ['RESULTS_DIR: want a folder of results'] : []
  const extra = names.slice(1).map((name) => `${name}: unexpected argument`)
  refuse(unknown, missing, extra)
  const written = writeReport(dir!)
  if (written === null) {
    process.stderr.write(`${dir!}: nothing that a report shows\n`)
    return EXIT.failed
  }
  for (const file of written) process.stdout.write(`written: ${join(dir!, file)}\n`)
  return EXIT.done
}

/**
 * Names of the files that were written; null: nothing in the folder could be read, and nothing is
 * written.
 * @throws UsageError when there is no such folder
 */
export function writeReport(dir: string): string[] | null {
  const folder = readFolder(dir)
  for (const { file, reason } of folder.unread) process.stderr.write(`${file}: ${reason}\n`)
  if (folder.stored.length === 0) return null
  const files = reportFiles(folder)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text)
  return Object.keys(files)
}
