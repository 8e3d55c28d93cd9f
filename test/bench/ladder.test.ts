import { expect, test } from 'vitest'
import { ladderOf } from '../../native-free-bench/ladder.ts'
import { runCompare } from '../../native-free-bench/run-compare.ts'
import { compareOf, hooksOf, trialOf } from './report-fixtures.ts'

test('each rung of the ladder changes one thing', () => {
  const rungs = ladderOf(compareOf({ ladder: true, inflight: '64' }))
  const changes = rungs.slice(1).map(({ config }, i) => {
    const before = rungs[i]!.config
    const keys = Object.keys(config) as (keyof typeof config)[]
    return keys.filter((key) => config[key] !== before[key] && typeof config[key] !== 'object')
  })
  expect(changes).toEqual([
    ['inflight'],
    ['engine'],
    ['pipelineDepth'],
    ['batchMaxEntries', 'pipelineDepth'], // in batches, a few of them fill the pipeline
    ['layout'],
  ])
})

test('ratios of a ladder are to its first rung, and rows carry its labels', async () => {
  const perS = [100, 200, 400, 800, 1_600, 3_200]
  let lane = 0
  const run = () => Promise.resolve(trialOf(perS[lane++]!, 100))
  const config = compareOf({ ladder: true, inflight: '64', trials: '1' })
  const { rows } = await runCompare(config, hooksOf(), run)
  expect(rows.map(({ label }) => label)[5]).toBe('+ worker threads')
  expect(rows.map(({ ratio }) => ratio.median)).toEqual([1, 2, 4, 8, 16, 32])
})
