/** Seeds of long campaigns that failed once: each is a fault that was found there and mended. */
import { expect, test } from 'vitest'
import { replaySeeds } from '../../src/sim/campaign.ts'
import type { ClassName } from '../../src/sim/classes.ts'

const FOUND: readonly [seed: number, className: ClassName, what: string][] = [
  [1_018_315, 'mixed-member', 'a removed node that nobody can tell so stood for ever'],
  [1_025_316, 'mixed-member', 'a demoted leader raised its ballot'],
  [1_011_971, 'partition', 'a learner fed by two was waited for by one'],
  [1_000_777, 'membership', 'the judge asked a node that had not begun'],
  [1_015_587, 'mixed-member', 'the judge asked a node that had not begun'],
  [1_007_512, 'mixed-member', 'the judge asked a node that was dead'],
  [1_015_687, 'partition', 'the simulated link sent what an ended session had left'],
  [1_028_031, 'mixed-member', 'the simulated link sent what an ended session had left'],
]

test('seeds that failed once pass', async () => {
  const ask = { withTrace: false, withShrink: false }
  const tasks = FOUND.map(([seed, className]) => ({ seed, className, ...ask }))
  const results = await replaySeeds(tasks, null, 1)
  const told = results.map(
    ({ violation }, i) => `${FOUND[i]![0]} ${violation?.message ?? 'passes'}`,
  )
  expect(told).toEqual(FOUND.map(([seed]) => `${seed} passes`))
}, 120_000)
