/**
 * Reads a folder of results for `xpaxos report`: every JSON file by its `schema`, of each the part
 * that a report shows. Looser than schemas.ts, which judges what this version writes: files of
 * older versions lack keys, and another command's file is read for what is there. What cannot be
 * read is named, never guessed.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Folder, Stored } from '../../native-free-bench/report/model.ts'
import type { Environment } from '../../native-free-bench/types.ts'
import { UsageError } from './exit.ts'
import { environmentShape, READERS } from './report-shapes.ts'

const ENVIRONMENT_FILE = 'environment.json'
const FILE_BYTES_MAX = 64 * 2 ** 20

/** @throws UsageError when there is no such folder */
export function readFolder(dir: string): Folder {
  const stored: Stored[] = []
  const unread: { file: string; reason: string }[] = []
  const files = namesOf(dir).filter((name) => name.endsWith('.json'))
  const shared = environmentOf(dir, files)
  for (const file of files.filter((name) => name !== ENVIRONMENT_FILE)) {
    const read = readOne(join(dir, file), file, shared)
    if (typeof read === 'string') unread.push({ file, reason: read })
    else stored.push(read)
  }
  return { stored, unread }
}

function namesOf(dir: string): string[] {
  try {
    return readdirSync(dir).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError([`RESULTS_DIR: cannot read ${dir} (${code ?? 'unknown'}): want a folder`])
  }
}

/** Of the whole folder: what a file without one of its own was measured in. */
function environmentOf(dir: string, files: readonly string[]): Environment | null {
  if (!files.includes(ENVIRONMENT_FILE)) return null
  const content = contentOf(join(dir, ENVIRONMENT_FILE))
  return typeof content === 'string' ? null : (environmentShape.safeParse(content).data ?? null)
}

/** The view, or why there is none. */
function readOne(path: string, file: string, shared: Environment | null): Stored | string {
  const content = contentOf(path)
  if (typeof content === 'string') return content
  const { schema } = content
  if (typeof schema !== 'string') return 'has no schema: not a result'
  const read = READERS.get(schema)
  if (read === undefined) return `schema ${schema.slice(0, 60)}: nothing that a report shows`
  try {
    const { view, environment, ...rest } = read(content)
    return { ...view, origin: { file, schema, ...rest, environment: environment ?? shared } }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const { path, message } = error.issues[0]!
    return `damaged: ${path.join('.')}: ${message}`
  }
}

/** The object, or why there is none. */
function contentOf(path: string): Record<string, unknown> | string {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.length > FILE_BYTES_MAX) return 'too large to be a result'
    const content: unknown = JSON.parse(text)
    const isObject = typeof content === 'object' && content !== null && !Array.isArray(content)
    return isObject ? (content as Record<string, unknown>) : 'damaged: not a JSON object'
  } catch (error) {
    return error instanceof SyntaxError ? 'damaged: not JSON' : 'cannot be read'
  }
}
