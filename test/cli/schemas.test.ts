import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runBench } from '../../native-free-bench/run-bench.ts'
import { runCompare } from '../../native-free-bench/run-compare.ts'
import {
  benchResultSchema,
  compareResultSchema,
  jsonSchemaOf,
  schemaProblems,
  tuneResultSchema,
} from '../../src/cli/schemas.ts'
import { benchOf, compareOf, hooksOf, trialOf } from '../bench/report-fixtures.ts'

const fake = () => Promise.resolve(trialOf(1000, 50))

test.each([
  ['xpaxos-bench-1', benchResultSchema, 'Result of xpaxos bench'],
  ['xpaxos-compare-1', compareResultSchema, 'Result of xpaxos compare'],
  ['xpaxos-tune-1', tuneResultSchema, 'Result of xpaxos tune'],
])(
  'docs/schemas/%s.schema.json is what the code checks (REWRITE=1 writes it)',
  (name, schema, title) => {
    const file = fileURLToPath(new URL(`../../docs/schemas/${name}.schema.json`, import.meta.url))
    const text = `${JSON.stringify(jsonSchemaOf(schema, title), null, 2)}\n`
    if (process.env['REWRITE'] === '1') writeFileSync(file, text)
    expect(readFileSync(file, 'utf8')).toBe(text)
  },
)

test('results of both commands fit their schemas after a trip through JSON', async () => {
  const bench = await runBench(benchOf({ inflight: 'best' }), hooksOf(), fake)
  const compare = await runCompare(compareOf({ trials: '2' }), hooksOf(), fake)
  expect(schemaProblems(JSON.parse(JSON.stringify(bench)) as typeof bench)).toEqual([])
  expect(schemaProblems(JSON.parse(JSON.stringify(compare)) as typeof compare)).toEqual([])
})

test('a figure that is not a number, and a stray key, are named by their paths', async () => {
  const result = await runBench(benchOf({}), hooksOf(), fake)
  const broken = { ...result, trials: [trialOf(NaN, 5)], extra: 1 }
  expect(schemaProblems(broken)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^trials\.0\.throughputPerS: /),
      expect.stringMatching(/^: Unrecognized key: "extra"/),
    ]),
  )
})
