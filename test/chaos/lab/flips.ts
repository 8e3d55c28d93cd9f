/**
 * One flipped bit in a block of a stopped node's files, block after block. A flip is found (the
 * directory is refused with a typed error), or harmless (the node opens, and all of its log is as
 * before: nobody reads those bytes), or else acknowledged entries are cut or changed. Files are
 * read from the disk once, and damaged and opened in memory, by the WAL's own code.
 */
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isReplicaError } from '../../../src/base/errors.ts'
import type { Storage } from '../../../src/base/storage.ts'
import { type MemoryStorage, createMemoryStorage } from '../../../src/sim/memory-storage.ts'
import { inspectWal, scanLog } from '../../../src/wal/inspect.ts'
import { openWal } from '../../../src/wal/open.ts'
import { numbersOf, segmentPath } from '../../../src/wal/segment.ts'
import { abandonWal } from '../../../src/wal/wal.ts'
import { createRoute, runSteps } from './client.ts'
import { TUNING, createCluster } from './cluster.ts'
import { createHistory } from './history.ts'
import { until } from './places.ts'
import type { Random } from './random.ts'
import type { Step } from './script.ts'

export const BLOCK_BYTES = 512
const DIR = '/flipped'
const SEGMENT_BYTES = TUNING.walSegmentSizeBytes
const ENTRIES = 180
const PAD_BYTES = 15_000 // every second one
/** Two with the log in them, and the next one, made ready. */
const FILES = 3

export type Ending = 'closed' | 'killed'
export type Effect = 'found' | 'harmless' | 'cut' | 'changed'

export interface Block {
  readonly file: string
  readonly offset: number
}

export interface Bit {
  readonly file: string
  /** Of its byte in the file. */
  readonly offset: number
  readonly bit: number
}

export interface Flip extends Bit {
  readonly effect: Effect
  /** Where the effect is neither found nor harmless: what was there, and what is. */
  readonly text: string
}

/** A node on its own with a log of two segments; its process is gone. */
export async function makeLog(folder: string, ending: Ending): Promise<string> {
  const cluster = await createCluster({ folder, members: [{ id: 1 }], seed: 1, layout: 'inline' })
  try {
    const process = await cluster.start(1)
    const route = createRoute({ running: () => cluster.running() })
    const steps = Array.from({ length: ENTRIES }, (_, i): Step => {
      return { f: 'put', key: `k${String(i % 7)}`, value: i, padBytes: i % 2 ? PAD_BYTES : i }
    })
    await runSteps({ history: createHistory(), route }, steps)
    if (ending === 'closed') {
      const dir = cluster.dirOf(1)
      await until('the next segment is ready', () => segmentsIn(dir) === FILES)
      await process.ask('close', null)
    }
    await cluster.kill(1)
    return cluster.dirOf(1)
  } finally {
    await cluster.close()
  }
}

const segmentsIn = (dir: string): number => numbersOf(readdirSync(dir), 'wal').length

export type Files = ReadonlyMap<string, Uint8Array>

export const filesOf = (dir: string): Files =>
  new Map(
    readdirSync(dir)
      .filter((name) => !name.startsWith('lock'))
      .map((name) => [name, readFileSync(join(dir, name))]),
  )

export const blocksOf = (files: Files): Block[] =>
  [...files].flatMap(([file, { length }]) =>
    Array.from({ length: Math.ceil(length / BLOCK_BYTES) }, (_, i) => {
      return { file, offset: i * BLOCK_BYTES }
    }),
  )

/** One bit in each of the blocks. */
export const bitsIn = (files: Files, blocks: readonly Block[], random: Random): Bit[] =>
  blocks.map(({ file, offset }) => {
    const size = Math.min(BLOCK_BYTES, files.get(file)!.length - offset)
    return { file, offset: offset + random.under(size), bit: random.under(8) }
  })

/** Flips one bit at a time. */
export function* flipEach(files: Files, bits: readonly Bit[]): Generator<Flip> {
  const storage = storageOf(files)
  const before = contentOf(storage)
  for (const place of bits) {
    const { file, offset, bit } = place
    const path = join(DIR, file)
    const bytes = files.get(file)!
    const flipped = Uint8Array.of(bytes[offset]! ^ (1 << bit))
    storage.poke(path, offset, flipped)
    const effect = effectOf(storage, before, () => {
      const copy = storageOf(files)
      copy.poke(path, offset, flipped)
      return copy
    })
    storage.poke(path, offset, bytes.subarray(offset, offset + 1))
    yield { ...place, ...effect }
  }
}

/** First as `wal verify` reads it; then, where that finds nothing, as a node opens it. */
function effectOf(
  storage: Storage,
  before: Content,
  copy: () => Storage,
): { readonly effect: Effect; readonly text: string } {
  try {
    const read = difference(before, contentOf(storage))
    if (read !== null) return read
    const writable = copy()
    open(writable)
    return difference(before, contentOf(writable)) ?? { effect: 'harmless', text: '' }
  } catch (error) {
    if (isReplicaError(error)) return { effect: 'found', text: error.message }
    throw error
  }
}

function storageOf(files: Files): MemoryStorage {
  const storage = createMemoryStorage()
  storage.makeDir(DIR)
  for (const [name, bytes] of files) {
    const file = storage.create(join(DIR, name))
    storage.pwrite(file, bytes, 0)
    storage.datasync(file)
    storage.close(file)
  }
  return storage
}

function open(storage: Storage): void {
  const { identity } = scanLog(storage, DIR, () => undefined)
  const { wal } = openWal(storage, { dir: DIR, identity, segmentSizeBytes: SEGMENT_BYTES })
  abandonWal(wal)
}

/** What a directory says of itself, without its file names. */
interface Content {
  readonly last: number
  readonly text: string
}

function contentOf(storage: Storage): Content {
  const hash = createHash('sha1')
  inspectWal(storage, DIR, ({ record, payload }) => {
    hash.update(JSON.stringify(record)).update(payload)
  })
  const { first, last, floor, promised, acceptedBallot, lastChain } = scanLog(
    storage,
    DIR,
    (index, through, chain, ballot, kind, bytes) =>
      void hash.update([index, through, chain, ballot, kind].join()).update(bytes),
  )
  const state = [first, last, floor, promised, acceptedBallot, lastChain].join()
  return { last, text: `${state} ${hash.digest('hex')}` }
}

function difference(before: Content, after: Content) {
  if (before.text === after.text) return null
  const effect: Effect = after.last < before.last ? 'cut' : 'changed'
  return { effect, text: `${before.text} became ${after.text}` }
}

export interface FlipsResult {
  readonly blocks: number
  readonly effects: Readonly<Record<Effect, number>>
  /** Cut, and not proven to lie in the last group, or changed. */
  readonly failures: readonly string[]
  /** Cut, in the last group, which nothing vouches for yet (R42). */
  readonly unmarked: readonly string[]
}

/**
 * @param ending after an orderly close every block counts; a node that was killed may not have
 *   marked its last group yet, and a flip in there passes for a torn one
 */
export function runFlips(
  dir: string,
  ending: Ending,
  sample: number | null,
  random: Random,
): FlipsResult {
  const files = filesOf(dir)
  const all = blocksOf(files)
  const blocks = sample === null ? all : random.sample(all, sample)
  const effects = { found: 0, harmless: 0, cut: 0, changed: 0 }
  const failures: string[] = []
  const unmarked: string[] = []
  const group = lastGroupOf(files)
  for (const flip of flipEach(files, bitsIn(files, blocks, random))) {
    const { file, offset, bit, effect, text } = flip
    effects[effect]++
    if (effect === 'found' || effect === 'harmless') continue
    const where = `${file}, byte ${String(offset)}, bit ${String(bit)}: ${effect}: ${text}`
    const isLast = ending === 'killed' && effect === 'cut' && isIn(group, file, offset)
    ;(isLast ? unmarked : failures).push(where)
  }
  return { blocks: blocks.length, effects, failures, unmarked }
}

interface Group {
  readonly file: string
  readonly from: number
  readonly to: number
}

/** Records above the last LSN that any other record names as synced; none: an empty range. */
function lastGroupOf(files: Files): Group {
  let synced = 0
  const places: { readonly lsn: number; readonly group: Group }[] = []
  inspectWal(storageOf(files), DIR, (found) => {
    synced = Math.max(synced, found.synced)
    const file = segmentPath(DIR, found.segment).slice(DIR.length + 1)
    const group = { file, from: found.offset, to: found.offset + found.sizeBytes }
    places.push({ lsn: found.lsn, group })
  })
  const last = places.filter(({ lsn }) => lsn > synced).map(({ group }) => group)
  return { file: last[0]?.file ?? '', from: last[0]?.from ?? 0, to: last.at(-1)?.to ?? 0 }
}

const isIn = ({ file, from, to }: Group, name: string, offset: number): boolean =>
  file === name && offset >= from && offset < to

export function flipsText(what: string, result: FlipsResult): string {
  const { blocks, effects, failures, unmarked } = result
  const { found, harmless } = effects
  const lines = [
    `${blocks} blocks of ${what}: ${found} found, ${harmless} harmless`,
    `  cut in the last group, which no mark vouches for: ${unmarked.length}`,
    `  ${failures.length} failures`,
    ...failures.map((failure) => `  FAILED ${failure}`),
  ]
  return `${lines.join('\n')}\n`
}
