/**
 * The mutants: their texts are where they should be, and each killing seed of the committed table
 * (results/mutants.json, `npm run mutants`) fails with its mutant and passes without.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { replaySeed, replaySeeds } from '../../src/sim/campaign.ts'
import type { ClassName } from '../../src/sim/classes.ts'
import { INVARIANTS } from '../../src/sim/invariants.ts'
import type { ReplayResult } from '../../src/sim/replay.ts'
import type { MutantResult } from '../../src/sim/mutant-campaign.ts'
import { MUTANTS } from '../../src/sim/mutants.ts'
import { mutated } from '../../src/sim/plant.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TABLE = `${ROOT}results/mutants.json`
const table = existsSync(TABLE)
  ? (JSON.parse(readFileSync(TABLE, 'utf8')) as { results: readonly MutantResult[] }).results
  : []

test.each(MUTANTS)('$name: its text is there once, and it changes it', (mutant) => {
  const source = readFileSync(`${ROOT}${mutant.file}`, 'utf8')
  expect(mutated(mutant, source)).not.toBe(source)
  expect(Object.keys(INVARIANTS)).toContain(mutant.invariant)
})

test('names are unique, and every mutant is in the committed table', () => {
  const names = MUTANTS.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(table.map(({ mutant }) => mutant)).toEqual(names)
  expect(table.filter(({ asExpected }) => !asExpected)).toEqual([])
})

const taskOf = (row: MutantResult) => ({
  ...{ seed: row.killingSeed!, className: row.class as ClassName },
  ...{ withTrace: false, withShrink: false },
})

/** By row; one worker has loaded everything once. */
let unplanted: ReplayResult[] = []
beforeAll(async () => {
  unplanted = await replaySeeds(table.map(taskOf), null, 1)
}, 300_000)

test.each(table)('$mutant: $replay fails with it and passes without', async (row) => {
  expect(row.killingSeed).not.toBeNull()
  const planted = await replaySeed(taskOf(row), row.mutant)
  expect(planted.violation?.invariant).toBe(row.found)
  expect(unplanted[table.indexOf(row)]!.violation).toBeNull()
})

test('a text that is gone or twice is refused', () => {
  const mutant = { name: 'x', invariant: 'I4', file: 'a.ts', from: 'b', to: 'c' } as const
  expect(() => mutated(mutant, 'a')).toThrow('not in a.ts any more')
  expect(() => mutated(mutant, 'b b')).toThrow('twice in a.ts')
  expect(mutated(mutant, 'a b d')).toBe('a c d')
})

test('the shrinker leaves at most 40 % of the steps of a failing seed', async () => {
  const row = table.find(({ mutant }) => mutant === 'sync-commits-with-first-chunk')!
  const { seed, className } = { seed: row.killingSeed!, className: row.class as ClassName }
  const task = { seed, className, withTrace: true, withShrink: true }
  const { shrunk, chart } = await replaySeed(task, row.mutant)
  expect(shrunk!.eventsAfter).toBeLessThanOrEqual(0.4 * shrunk!.eventsBefore)
  expect(shrunk!.opsAfter).toBeLessThan(shrunk!.opsBefore)
  expect(chart).toMatch(/accept/)
})
